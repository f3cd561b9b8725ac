# tflint --config=$PWD/infra/.tflint.hcl --chdir=infra/aws (or infra/aws/member, infra/gcp)
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# common.tf is one file in both modules, and the member is small enough to be one.
rule "terraform_standard_module_structure" {
  enabled = false
}
