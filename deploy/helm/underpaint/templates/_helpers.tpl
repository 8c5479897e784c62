{{- define "underpaint.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "underpaint.labels" -}}
app.kubernetes.io/name: underpaint
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "underpaint.about" -}}
{{ include "underpaint.labels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Of all pods. */ -}}
{{- define "underpaint.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- /* Of all containers: the image, the settings, and no rights. */ -}}
{{- define "underpaint.container" -}}
image: {{ include "underpaint.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
envFrom:
  - configMapRef: { name: {{ .Release.Name }}-settings }
  - secretRef: { name: {{ .Values.existingSecret }} }
{{- end }}

{{- define "underpaint.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "underpaint.catalogMount" -}}
{{- if .Values.catalog }}
- { name: catalog, mountPath: /etc/underpaint, readOnly: true }
{{- end }}
{{- end }}

{{- define "underpaint.catalogVolume" -}}
{{- if .Values.catalog }}
- { name: catalog, configMap: { name: {{ .Release.Name }}-catalog } }
{{- end }}
{{- end }}
