{{/*
What the agent may do: the one table. The container drops everything, and adds those whose feature is on. `perflens check` names what is
lost without each, and docs/kubernetes.md has the table with reasons.

  BPF                 always                   load programs, make tables
  PERFMON             always                   attach programs that read the kernel's memory
  SYSLOG              features.kernelSymbols   see addresses in /proc/kallsyms: reasons of waits, names of kernel functions
  SYS_PTRACE          features.userSymbols     read /proc/PID/{exe,root,ns,map_files} of others: names of user functions, paths of programs
  DAC_READ_SEARCH     features.userSymbols     open programs that only their owner may read
  CHECKPOINT_RESTORE  features.userSymbols     follow /proc/PID/map_files: libraries that were replaced while they were used
  SYS_RESOURCE        kernel.before511         lift the limit of locked memory, to which old kernels count tables
*/}}
{{- define "perflens.capabilities" -}}
{{- $added := list "BPF" "PERFMON" }}
{{- if .Values.features.kernelSymbols }}
{{- $added = append $added "SYSLOG" }}
{{- end }}
{{- if .Values.features.userSymbols }}
{{- $added = concat $added (list "SYS_PTRACE" "DAC_READ_SEARCH" "CHECKPOINT_RESTORE") }}
{{- end }}
{{- if .Values.kernel.before511 }}
{{- $added = append $added "SYS_RESOURCE" }}
{{- end }}
{{- toYaml $added }}
{{- end }}

{{/* The security context of a container that measures. Root, as the kernel's files belong to it; no more than the table. */}}
{{- define "perflens.securityContext" -}}
{{- $capabilities := dict "drop" (list "ALL") "add" (include "perflens.capabilities" . | fromYamlArray) }}
{{- $own := dict "runAsUser" 0 "runAsGroup" 0 "runAsNonRoot" false "privileged" false "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" $capabilities }}
{{- with .Values.appArmorProfile }}
{{- $_ := set $own "appArmorProfile" . }}
{{- end }}
{{- toYaml (mergeOverwrite $own (deepCopy (.Values.securityContext | default dict))) }}
{{- end }}

{{- define "perflens.podSecurityContext" -}}
{{- toYaml (mergeOverwrite (dict "seccompProfile" (dict "type" "RuntimeDefault")) (deepCopy (.Values.podSecurityContext | default dict))) }}
{{- end }}
