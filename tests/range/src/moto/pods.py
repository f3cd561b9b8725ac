"""EKS Pod Identity, which moto lacks: associations of service accounts with roles, as the API Reference has them."""
import uuid

from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult as Answer
from moto.eks import urls as eks_urls
from moto.eks.responses import EKSResponse
from moto.iam.access_control import IAMRequestBase

# moto takes the signature of a REST call for wrong, whatever it is; permissions are what the range checks.
IAMRequestBase.check_signature = lambda self: None

ASSOCIATIONS = "{0}/clusters/(?P<clusterName>[^/]+)/pod-identity-associations"
eks_urls.url_paths[ASSOCIATIONS + "$"] = eks_urls.response.dispatch
eks_urls.url_paths[ASSOCIATIONS + "/(?P<associationId>[^/]+)$"] = eks_urls.response.dispatch


class PodIdentityError(JsonRESTError):
    def __init__(self, code, kind, message):
        super().__init__(kind, message)
        self.code = code


def associations(self):
    name = self.parsed_url.path.split("/")[2]
    if name not in self.eks_backend.clusters:
        raise PodIdentityError(404, "ResourceNotFoundException", f"No cluster found for name: {name}.")
    if not hasattr(self.eks_backend, "pod_identity"):
        self.eks_backend.pod_identity = {}
    return name, self.eks_backend.pod_identity.setdefault(name, {})


def one(self):
    name, known = associations(self)
    found = known.get(self.parsed_url.path.split("/")[4])
    if not found:
        raise PodIdentityError(404, "ResourceNotFoundException", "The association is not found.")
    return known, found


def create_pod_identity_association(self):
    name, known = associations(self)
    wanted = {key: self._get_param(key) for key in
              ("namespace", "serviceAccount", "roleArn", "targetRoleArn", "disableSessionTags", "policy", "tags")}
    made = {"clusterName": name, **{key: value for key, value in wanted.items() if value is not None}}
    if any((it["namespace"], it["serviceAccount"]) == (made["namespace"], made["serviceAccount"]) for it in known.values()):
        raise PodIdentityError(409, "ResourceInUseException", "Association already exists.")
    made["associationId"] = "a-" + uuid.uuid4().hex[:17]
    made["associationArn"] = (f"arn:aws:eks:{self.region}:{self.current_account}:podidentityassociation/{name}/"
                              f"{made['associationId']}")
    known[made["associationId"]] = made
    return Answer({"association": made})


def list_pod_identity_associations(self):
    _, known = associations(self)
    space, account = self._get_param("namespace"), self._get_param("serviceAccount")
    keys = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId")
    return Answer({"associations": [
        {key: it[key] for key in keys} for it in known.values()
        if space in (None, it["namespace"]) and account in (None, it["serviceAccount"])]})


def describe_pod_identity_association(self):
    return Answer({"association": one(self)[1]})


def delete_pod_identity_association(self):
    known, found = one(self)
    return Answer({"association": known.pop(found["associationId"])})


for operation in (create_pod_identity_association, list_pod_identity_associations,
                  describe_pod_identity_association, delete_pod_identity_association):
    setattr(EKSResponse, operation.__name__, operation)
