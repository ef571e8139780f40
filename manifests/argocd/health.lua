-- Health of a ModelService for Argo CD; argocd-cm.yaml is made from this by `make generate`.
local health = {status = "Progressing", message = "the operator has not looked yet"}
if obj.status == nil or obj.status.conditions == nil then
  return health
end
local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end
if found.Ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
health.message = found.Ready.message
if found.Ready.status == "True" then
  health.status = "Healthy"
elseif found.Ready.reason == "Suspended" or found.Ready.reason == "PromotionPending" or found.Ready.reason == "Paused" then
  health.status = "Suspended"
elseif found.Stalled ~= nil and found.Stalled.status == "True" then
  health.status = "Degraded"
end
return health
