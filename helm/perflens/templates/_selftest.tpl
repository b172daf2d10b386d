{{/*
How `helm test` proves the numbers, empty for not at all.

  host  the agents are in the node's network: the pod is too, and asks the one of its node by loopback
  node  the API has a token: the pod asks the agent of its node by a Service that stays on the node
  own   no other pod may ask the API, or only with a certificate or a login: the pod attaches probes of its own, with an agent's rights
*/}}
{{- define "perflens.selftestMode" -}}
{{- if .Values.selftest.enabled }}
{{- if include "perflens.webSecret" . }}own
{{- else if .Values.hostNetwork }}host
{{- else if include "perflens.tokenSecret" . }}node
{{- else }}own
{{- end }}
{{- end }}
{{- end }}
