{{/* The endpoint of a PodMonitor or ServiceMonitor; both have the settings of podMonitor. (dict "root" $ "component" "agent") */}}
{{- define "perflens.endpoint" -}}
{{- $root := .root }}
{{- $agent := eq .component "agent" }}
{{- $tls := and $agent (eq (include "perflens.tls" $root) "true") }}
{{- with $root.Values.podMonitor }}
port: http
path: {{ include "perflens.metricsPath" (ternary $root.Values.config $root.Values.analyzer.config $agent) }}
scheme: {{ ternary "https" "http" $tls }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- if $tls }}
tlsConfig:
  {{- toYaml (.tlsConfig | default (dict "insecureSkipVerify" true)) | nindent 2 }}
{{- end }}
{{- $relabelings := .relabelings | default list }}
{{- if not $agent }}
{{- $relabelings = append $relabelings (dict "targetLabel" "job" "replacement" (printf "%s-analyzer" (include "perflens.name" $root))) }}
{{- end }}
{{- with $relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $agent }}
{{- with .endpoint }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What both kinds have besides their endpoints. */}}
{{- define "perflens.monitorSpec" -}}
jobLabel: app.kubernetes.io/name
namespaceSelector:
  matchNames: [{{ .root.Release.Namespace }}]
selector:
  matchLabels:
    {{- include "perflens.selectorLabels" . | nindent 4 }}
{{- with .root.Values.podMonitor }}
{{- if .attachNodeMetadata }}
attachMetadata:
  node: true
{{- end }}
{{- with .scrapeProtocols }}
scrapeProtocols:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not (kindIs "invalid" .scrapeNativeHistograms) }}
scrapeNativeHistograms: {{ .scrapeNativeHistograms }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name, namespace and labels: (dict "root" $ "component" "agent"). */}}
{{- define "perflens.monitorMetadata" -}}
name: {{ ternary (include "perflens.fullname" .root) (include "perflens.analyzerName" .root) (eq .component "agent") }}
namespace: {{ .root.Values.podMonitor.namespace | default .root.Release.Namespace }}
labels:
  {{- include "perflens.labels" . | nindent 2 }}
  {{- with .root.Values.podMonitor.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
