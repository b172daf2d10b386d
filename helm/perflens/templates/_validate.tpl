{{/* Combinations that cannot work. Each message says what to do; types and names are looked at by values.schema.json. */}}
{{- define "perflens.validate" -}}
{{- $config := .Values.config | default dict }}
{{- if hasKey $config "probes" }}
{{- fail "config.probes: the chart has a value of its own for it; move it to `probes`" }}
{{- end }}
{{- range $key, $value := (dict "listen_address" "`port`" "api_token_file" "`web.apiToken`" "config_file" "`web.config`") }}
{{- if hasKey ($config.web | default dict) $key }}
{{- fail (printf "config.web.%s: the chart sets it; use %s" $key $value) }}
{{- end }}
{{- end }}
{{- range list "enabled" "node_name" "source" "kubelet" }}
{{- if hasKey ($config.kubernetes | default dict) . }}
{{- fail (printf "config.kubernetes.%s: the chart sets it; use `kubernetes`" .) }}
{{- end }}
{{- end }}
{{- range list "serviceAccountName" "automountServiceAccountToken" "enableServiceLinks" "hostPID" "hostNetwork" "dnsPolicy" "securityContext" "imagePullSecrets" "priorityClassName" "nodeSelector" "tolerations" "affinity" "terminationGracePeriodSeconds" "containers" "volumes" }}
{{- if hasKey ($.Values.podSpec | default dict) . }}
{{- fail (printf "podSpec.%s: the chart sets it; use the chart's own value" .) }}
{{- end }}
{{- end }}
{{- if and (eq .Values.kubernetes.source "kubelet") (semverCompare "<1.32.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail (printf "kubernetes.source: kubelets of Kubernetes %s do not know the right nodes/pods; use api" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- with .Values.web.config }}
{{- if and .existingSecret .content }}
{{- fail "web.config: existingSecret and content exclude each other; leave one out" }}
{{- end }}
{{- if and .tlsSecret (not .existingSecret) (not .content) }}
{{- fail "web.config.tlsSecret: without a file that names it there is no TLS; set content.tls_server_config with cert_file: tls.crt and key_file: tls.key" }}
{{- end }}
{{- end }}
{{- with .Values.web.apiToken }}
{{- if and .existingSecret .value }}
{{- fail "web.apiToken: existingSecret and value exclude each other; leave one out" }}
{{- end }}
{{- end }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "podMonitor and serviceMonitor: both would scrape every agent; enable one of them" }}
{{- end }}
{{- if and .Values.appArmorProfile (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail (printf "appArmorProfile: Kubernetes %s does not know it; leave it out, or use podAnnotations" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- if .Values.analyzer.enabled }}{{ include "perflens.validateAnalyzer" . }}{{ end }}
{{- end }}

{{- define "perflens.validateAnalyzer" -}}
{{- if not (include "perflens.tokenSecret" .) }}
{{- fail "analyzer.enabled: the agents' API answers other pods only with a token; set web.apiToken.existingSecret" }}
{{- end }}
{{- range list "llm" "grafana" }}
{{- if hasKey ($.Values.config | default dict) . }}
{{- fail (printf "config.%s: with analyzer.enabled the analyzer alone has it; move it to analyzer.config.%s" . .) }}
{{- end }}
{{- $own := index $.Values.analyzer . }}
{{- if and $own.existingSecret $own.value }}
{{- fail (printf "analyzer.%s: existingSecret and value exclude each other; leave one out" .) }}
{{- end }}
{{- end }}
{{- $tls := (.Values.web.config.content | default dict).tls_server_config | default dict }}
{{- if hasPrefix "Require" ($tls.client_auth_type | default "" | toString) }}
{{- fail "analyzer.enabled: it has no certificate to show to the agents; set web.config.content.tls_server_config.client_auth_type to VerifyClientCertIfGiven" }}
{{- end }}
{{- if hasKey ((.Values.analyzer.config | default dict).web | default dict) "listen_address" }}
{{- fail "analyzer.config.web.listen_address: the chart sets it; use `analyzer.port`" }}
{{- end }}
{{- end }}
