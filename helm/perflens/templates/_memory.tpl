{{/*
What an agent takes at most, in MiB: docs/memory.md as sums. Each line is rounded up, so that the result is never below the tables' exact size.

  kernel  = slots + cells of file, block and process, each with the shards it takes + rings and fixed tables + what each CPU has
            + 8,192 verdicts of each where the configuration filters by names of pods
  agent   = 55 MiB for the interpreter and its libraries + 2.4 KB for each series of the five histograms
  check   = kernel + 55 MiB: `perflens check` in the agent's container makes the tables once more
  limit   = kernel + agent + check + memory.reserve, in steps of 16
  request = kernel + the interpreter: what every agent takes from the start
*/}}
{{- define "perflens.kernelKiB" -}}
{{- $cpus := int64 .Values.memory.possibleCpus }}
{{- $shards := ternary 8 (ternary 4 $cpus (gt $cpus 2)) (gt $cpus 4) | int64 }}
{{- $slots := 65536 | int64 }}
{{- range list 32768 16384 8192 4096 2048 1024 512 }}
{{- if le (int64 $.Values.memory.pidMax) (int64 .) }}{{ $slots = int64 . }}{{ end }}
{{- end }}
{{- $config := .Values.config | default dict }}
{{- $cells := $config.cells | default 4096 | int64 }}
{{- /* A cell: its histogram in each shard, its key and info, its place in the index and in the free list. */}}
{{- $beside := 956 | int64 }}
{{- $file := mul $cells (add (mul 704 $shards) $beside) }}
{{- $block := mul (min $cells 2048) (add (mul 576 (min $shards 4)) $beside) }}
{{- $process := mul (min $cells 1024) (add (mul 576 (min $shards 2)) $beside) }}
{{- $fixed := mul 22 1048576 }}
{{- $filter := $config.filter | default dict }}
{{- $verdicts := ternary 1966080 0 (not (empty (concat (get $filter "namespace" | default list) (get $filter "pod" | default list) (get $filter "container" | default list)))) | int64 }}
{{- div (add (mul 128 $slots) $file $block $process $fixed $verdicts (mul $cpus 39000)) 1024 }}
{{- end }}

{{- define "perflens.memoryRequest" -}}
{{- add (div (include "perflens.kernelKiB" . | int64) 1024) 1 55 }}Mi
{{- end }}

{{- define "perflens.memoryLimit" -}}
{{- $series := div (mul (((.Values.config | default dict).series | default dict).limit | default 2750 | int64) 5 2400) 1048576 | add 1 }}
{{- $once := add (div (include "perflens.kernelKiB" . | int64) 1024) 1 55 }}
{{- $sum := add (mul 2 $once) $series (int64 .Values.memory.reserve) }}
{{- mul 16 (div (add $sum 15) 16) }}Mi
{{- end }}

{{/* Requests and limits of an agent; (dict "root" $ "resources" …) are those that the values set, which stand above the computed ones. */}}
{{- define "perflens.resources" -}}
{{- $set := deepCopy (.resources | default dict) }}
{{- if .root.Values.memory.computed }}
{{- $own := dict "requests" (dict "memory" (include "perflens.memoryRequest" .root)) "limits" (dict "memory" (include "perflens.memoryLimit" .root)) }}
{{- $set = mergeOverwrite $own $set }}
{{- end }}
{{- toYaml $set }}
{{- end }}
