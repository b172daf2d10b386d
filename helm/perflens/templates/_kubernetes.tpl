{{/* The agent's section `kubernetes`: the one place that knows its keys. */}}
{{- define "perflens.kubernetesEnv" -}}
- name: PERFLENS_KUBERNETES_ENABLED
  value: {{ .Values.kubernetes.enabled | quote }}
- name: PERFLENS_KUBERNETES_NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- end }}
