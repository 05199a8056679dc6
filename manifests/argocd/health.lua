-- Argo CD health check for serviceroute.dev/ServiceRoute: resource.customizations.health.serviceroute.dev_ServiceRoute
local health = { status = "Progressing", message = "Waiting for the controller." }
if obj.status == nil or obj.status.conditions == nil then
  return health
end
if obj.status.observedGeneration ~= nil and obj.metadata.generation ~= nil and obj.status.observedGeneration < obj.metadata.generation then
  return health
end
local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end
if found.Stalled ~= nil and found.Stalled.status == "True" then
  return { status = "Degraded", message = found.Stalled.message }
end
if found.ResolvedRefs ~= nil and found.ResolvedRefs.status == "False" then
  return { status = "Degraded", message = found.ResolvedRefs.message }
end
-- A draft is refused by nobody: its authors have not asked for traffic yet, and so it is not Stalled.
if obj.spec ~= nil and obj.spec.useDefaultGateways == "None" and (obj.spec.parentRefs == nil or #obj.spec.parentRefs == 0) then
  return { status = "Suspended", message = found.Ready ~= nil and found.Ready.message or "A draft." }
end
if found.Ready ~= nil and found.Ready.status == "False" then
  return { status = "Degraded", message = found.Ready.message }
end
if found.Ready ~= nil and found.Ready.status == "True" then
  return { status = "Healthy", message = found.Ready.message }
end
return health
