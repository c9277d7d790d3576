{{- /* Flow mappings, JSON on one line: they need no indentation where they are used. */ -}}
{{- define "despina.name" -}}
{{ .Values.fullnameOverride | default .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- define "despina.selector" -}}
{{ dict "app.kubernetes.io/name" "despina" "app.kubernetes.io/instance" .Release.Name | toJson }}
{{- end -}}
{{- define "despina.labels" -}}
{{ dict "app.kubernetes.io/name" "despina" "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/managed-by" .Release.Service "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version) | toJson }}
{{- end -}}
