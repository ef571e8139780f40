{{- define "modelservice-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "modelservice-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := include "modelservice-operator.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names of objects outside of any namespace: two releases in two namespaces must not meet. */}}
{{- define "modelservice-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "modelservice-operator.fullname" .) -}}
{{- end -}}

{{- define "modelservice-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "modelservice-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "modelservice-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "modelservice-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "modelservice-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "modelservice-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Reference of an image: (list IMAGE REGISTRY-BY-DEFAULT TAG-BY-DEFAULT). */}}
{{- define "modelservice-operator.image" -}}
{{- $image := index . 0 -}}
{{- $registry := default (index . 1) $image.registry -}}
{{- $repository := $image.repository -}}
{{- if $registry -}}{{- $repository = printf "%s/%s" $registry $repository -}}{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default (index . 2) $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What the operator does in each namespace that it watches; a test compares these rules with the calls it makes. */}}
{{- define "modelservice-operator.rules" -}}
- apiGroups: [modelservice.dev]
  resources: [modelservices]
  verbs: [get, list, watch]
# The finalizer of those whose artifacts in object storage go with them, which no subresource holds.
- apiGroups: [modelservice.dev]
  resources: [modelservices]
  verbs: [patch]
- apiGroups: [modelservice.dev]
  resources: [modelservices/status]
  verbs: [patch]
# The number that an autoscaler leaves, as kubectl scale would write it.
- apiGroups: [modelservice.dev]
  resources: [modelservices/scale]
  verbs: [patch]
# Needed to own children where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [modelservice.dev]
  resources: [modelservices/finalizers]
  verbs: [update]
# Children, and the users' ConfigMaps that hold data. `get` is for data, and for what may be somebody else's.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps, persistentvolumeclaims, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [controllerrevisions, deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# Whose a pod is, why it does not start, and how far its training is.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create, patch]
# Why a Job waits in a queue, where the cluster has Kueue.
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- end -}}
