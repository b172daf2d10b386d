{{/* Names, labels and what several templates need to know. */}}

{{- define "perflens.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters, so that the longest suffix fits into the 63 of a DNS label. */}}
{{- define "perflens.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "perflens.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels of a component: (dict "root" $ "component" "agent"). The selector is a part of them without versions, as it cannot change. */}}
{{- define "perflens.selectorLabels" -}}
app.kubernetes.io/name: {{ include "perflens.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "perflens.labels" -}}
{{ include "perflens.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: perflens
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "perflens.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "perflens.agentServiceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "perflens.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "perflens.analyzerName" -}}
{{ include "perflens.fullname" . }}-analyzer
{{- end }}

{{- define "perflens.analyzerServiceAccount" -}}
{{- with .Values.analyzer.serviceAccount }}
{{- .name | default (ternary (include "perflens.analyzerName" $) "default" .create) }}
{{- end }}
{{- end }}

{{/* The headless Service, by which the analyzer finds the agents. */}}
{{- define "perflens.agentsName" -}}
{{ include "perflens.fullname" . }}-agents
{{- end }}

{{/* Secrets: the one that is named, or the chart's own. Empty for none. */}}
{{- define "perflens.webSecret" -}}
{{- with .Values.web.config }}
{{- .existingSecret | default (ternary (printf "%s-web" (include "perflens.fullname" $)) "" (not (empty .content))) }}
{{- end }}
{{- end }}

{{- define "perflens.tokenSecret" -}}
{{- with .Values.web.apiToken }}
{{- .existingSecret | default (ternary (printf "%s-api-token" (include "perflens.fullname" $)) "" (not (empty .value))) }}
{{- end }}
{{- end }}

{{/* (dict "root" $ "of" "llm") */}}
{{- define "perflens.analyzerSecret" -}}
{{- with index .root.Values.analyzer .of }}
{{- .existingSecret | default (ternary (printf "%s-%s" (include "perflens.analyzerName" $.root) $.of) "" (not (empty .value))) }}
{{- end }}
{{- end }}

{{/* "true" where the agents speak TLS, else empty. */}}
{{- define "perflens.tls" -}}
{{- with .Values.web.config }}
{{- if or .tls (hasKey (.content | default dict) "tls_server_config") }}true{{ end }}
{{- end }}
{{- end }}

{{- define "perflens.scheme" -}}
{{- ternary "https" "http" (eq (include "perflens.tls" .) "true") }}
{{- end }}

{{/* "true" where the kubelet is not let in: the web configuration asks for a login or a client certificate. */}}
{{- define "perflens.closed" -}}
{{- with .Values.web.config }}
{{- $content := .content | default dict }}
{{- $tls := $content.tls_server_config | default dict }}
{{- if or (not (empty $content.basic_auth_users)) (hasPrefix "Require" ($tls.client_auth_type | default "" | toString)) }}true{{ end }}
{{- end }}
{{- end }}

{{/* What a probe of the kubelet asks: (dict "root" $ "path" "/-/ready"). */}}
{{- define "perflens.healthCheck" -}}
{{- $how := .root.Values.web.config.healthCheck }}
{{- if or (eq $how "tcp") (and (eq $how "auto") (eq (include "perflens.closed" .root) "true")) -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- if eq (include "perflens.tls" .root) "true" }}
  scheme: HTTPS
  {{- end }}
{{- end }}
{{- end }}

{{/* Where the metrics are, by a configuration. */}}
{{- define "perflens.metricsPath" -}}
{{- ((. | default dict).web | default dict).telemetry_path | default "/metrics" }}
{{- end }}

{{/* "true" where security context constraints give pods their users, and refuse those that name one. */}}
{{- define "perflens.onOpenshift" -}}
{{- if or .Values.openshift.scc.create (.Capabilities.APIVersions.Has "security.openshift.io/v1") }}true{{ end }}
{{- end }}

{{/* What `extraArgs` and `extraEnv` can name. */}}
{{- define "perflens.nodeEnv" -}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- end }}

{{/* What a container that attaches probes has beside the cgroups of the node. */}}
{{- define "perflens.furtherMounts" -}}
{{- if .Values.tracefs.enabled }}
- name: tracefs
  mountPath: /sys/kernel/tracing
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "perflens.furtherVolumes" -}}
{{- if .Values.tracefs.enabled }}
- name: tracefs
  hostPath:
    path: {{ .Values.tracefs.hostPath }}
    type: Directory
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
