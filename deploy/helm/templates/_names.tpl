{{- define "otaflux.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Kubernetes makes a label of it for each StatefulSet, with 11 characters more: 63 are allowed. */ -}}
{{- define "otaflux.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "otaflux.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "otaflux.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "otaflux.selectorLabels" -}}
app.kubernetes.io/name: {{ include "otaflux.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "otaflux.labels" -}}
{{ include "otaflux.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "otaflux.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "otaflux.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "otaflux.secretName" -}}
{{- default (include "otaflux.fullname" .) .Values.otaflux.existingSecret }}
{{- end }}

{{- /* What the Secret holds: its keys, and what stands in each. Files, so that a change counts
without a new pod: the kubelet writes them anew, and OtaFlux reads them again. */ -}}
{{- define "otaflux.secretKeys" -}}
{{- with .Values.otaflux }}
registry-password: {{ .registry.password | quote }}
registry-ca.crt: {{ .registry.caCert | quote }}
webhook-secret: {{ .webhookSecret | quote }}
device-tokens: {{ .deviceTokens | quote }}
cosign.pub: {{ .cosignPubKey | quote }}
mqtt-password: {{ .mqtt.password | quote }}
mqtt-ca.crt: {{ .mqtt.caCert | quote }}
mqtt-client.crt: {{ .mqtt.clientCert | quote }}
mqtt-client.key: {{ .mqtt.clientKey | quote }}
{{- end }}
{{- end }}
