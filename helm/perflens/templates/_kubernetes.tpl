{{/* The agent's section `kubernetes`: the one place that knows its keys. */}}
{{- define "perflens.kubernetesEnv" -}}
- name: PERFLENS_KUBERNETES_ENABLED
  value: {{ include "perflens.kubernetesEnabled" . | quote }}
- name: PERFLENS_KUBERNETES_NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- if eq .Values.kubernetes.source "kubelet" }}
- name: PERFLENS_KUBERNETES_SOURCE
  value: kubelet
- name: PERFLENS_KUBERNETES_KUBELET
  valueFrom: {fieldRef: {fieldPath: status.hostIP}}
{{- end }}
{{- end }}

{{/* `auto`, `on` or `off`: YAML takes the last two, unquoted, for true and false. */}}
{{- define "perflens.kubernetesEnabled" -}}
{{- $written := toString .Values.kubernetes.enabled }}
{{- get (dict "true" "on" "false" "off") $written | default $written }}
{{- end }}
