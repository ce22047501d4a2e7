{{/* The name of everything. */}}
{{- define "stator.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 39 | trimSuffix "-" -}}
{{- end -}}

{{- define "stator.selector" -}}
app.kubernetes.io/name: stator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "stator.labels" -}}
{{ include "stator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "stator.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- define "stator.cluster" -}}
{{- default (printf "%s-%s" .Release.Namespace (include "stator.name" .)) .Values.cluster.id | trunc 63 -}}
{{- end -}}

{{/* The name by which the nodes of a pod are reached, before the pod's own name. */}}
{{- define "stator.domain" -}}
{{ include "stator.name" . }}-nodes.{{ .Release.Namespace }}.svc.{{ .Values.cluster.domain }}
{{- end -}}

{{- define "stator.keys" -}}
{{- default (printf "%s-keys" (include "stator.name" .)) .Values.keys.existingSecret -}}
{{- end -}}

{{- define "stator.account" -}}
{{- default (include "stator.name" .) .Values.serviceAccount.existing -}}
{{- end -}}

{{/* Whether a job of this chart has something to make. */}}
{{- define "stator.job" -}}
{{- if or (eq .Values.certificates.from "job") (not .Values.keys.existingSecret) -}}yes{{- end -}}
{{- end -}}

{{- define "stator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "stator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The configuration, certificates and keys, as volumes. */}}
{{- define "stator.volumes" -}}
- name: config
  configMap:
    name: {{ include "stator.name" . }}
- name: keys
  secret:
    secretName: {{ include "stator.keys" . }}
    defaultMode: 0440
- name: certificates
  {{- if eq .Values.certificates.from "cert-manager" }}
  projected:
    defaultMode: 0440
    sources:
      {{- range $life, $_ := until (add1 (int .Values.certificates.successors) | int) }}
      {{- range $place, $_ := until (int $.Values.certificates.nodes) }}
      {{- $node := add (mul 1000 $life) $place 1 }}
      - secret:
          name: {{ include "stator.name" $ }}-node-{{ $node }}
          items:
            - key: tls.crt
              path: node-{{ $node }}.pem
            - key: tls.key
              path: node-{{ $node }}-key.pem
            {{- if eq (int $node) 1 }}
            - key: ca.crt
              path: ca.pem
            {{- end }}
      {{- end }}
      {{- end }}
  {{- else }}
  secret:
    secretName: {{ if eq .Values.certificates.from "existing" }}{{ required "certificates.existingSecret is missing" .Values.certificates.existingSecret }}{{ else }}{{ include "stator.name" . }}-nodes{{ end }}
    defaultMode: 0440
  {{- end }}
{{- with .Values.backup.existingClaim }}
- name: archive
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- if .Values.objectStore.existingClaim }}
- name: buckets
  persistentVolumeClaim:
    claimName: {{ .Values.objectStore.existingClaim }}
{{- else if .Values.objectStore.endpoint }}
- name: buckets
  secret:
    secretName: {{ .Values.objectStore.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{- define "stator.volumeMounts" -}}
- name: config
  mountPath: /etc/stator
  readOnly: true
- name: keys
  mountPath: /etc/stator-keys
  readOnly: true
- name: certificates
  mountPath: /etc/stator-certificates
  readOnly: true
{{- if .Values.backup.existingClaim }}
- name: archive
  mountPath: /var/lib/stator-archive
{{- end }}
{{- if .Values.objectStore.existingClaim }}
- name: buckets
  mountPath: /var/lib/stator-buckets
{{- else if .Values.objectStore.endpoint }}
- name: buckets
  mountPath: /etc/stator-buckets
  readOnly: true
{{- end }}
{{- end -}}

{{/* What a job makes. */}}
{{- define "stator.jobPod" -}}
serviceAccountName: {{ include "stator.name" . }}-secrets
restartPolicy: OnFailure
securityContext:
  {{- include "stator.podSecurityContext" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: secrets
    image: {{ include "stator.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      - kubernetes
      - secrets
      - --name={{ include "stator.name" . }}
      - --cluster={{ include "stator.cluster" . }}
      - --stateful-set={{ include "stator.name" . }}
      - --node-service={{ include "stator.name" . }}-nodes
      - --client-service={{ include "stator.name" . }}
      - --domain={{ .Values.cluster.domain }}
      - --nodes={{ int .Values.certificates.nodes }}
      - --successors={{ int .Values.certificates.successors }}
      - --days={{ int .Values.certificates.days }}
      - --labels=app.kubernetes.io/name=stator,app.kubernetes.io/instance={{ .Release.Name }}
      {{- with .Values.certificates.hosts }}
      - --hosts={{ join "," . }}
      {{- end }}
      {{- if ne .Values.certificates.from "job" }}
      - --keys-only
      {{- end }}
    securityContext:
      {{- include "stator.securityContext" . | nindent 6 }}
    resources:
      requests:
        cpu: 50m
        memory: 64Mi
      limits:
        memory: 128Mi
{{- end -}}

{{/* Refuses values that fit the schema, but not each other. */}}
{{- define "stator.check" -}}
{{- $replicas := int .Values.replicas -}}
{{- $least := min (int .Values.cluster.founders) (int .Values.cluster.replication) | int -}}
{{- if and (gt $replicas 0) (lt $replicas $least) -}}
{{- fail (printf "replicas is %d: a cluster is not left with fewer than %d nodes, because each item lies on so many (0 switches it off)" $replicas $least) -}}
{{- end -}}
{{/* A cluster that has grown is not left with fewer nodes than its items have copies, which its nodes refuse. */}}
{{- $running := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "stator.name" .) -}}
{{- if $running -}}
{{- $now := dig "spec" "replicas" 1 $running | int -}}
{{- if and (gt $replicas 0) (lt $replicas $now) (lt $replicas (int .Values.cluster.replication)) -}}
{{- fail (printf "replicas is %d, and %d nodes run: a cluster is not left with fewer than %d nodes, because each item lies on so many (0 switches it off)" $replicas $now (int .Values.cluster.replication)) -}}
{{- end -}}
{{- end -}}
{{- if gt $replicas (int .Values.certificates.nodes) -}}
{{- fail (printf "replicas is %d, and there are certificates for %d nodes: raise certificates.nodes" $replicas (int .Values.certificates.nodes)) -}}
{{- end -}}
{{- if gt (int .Values.cluster.founders) (int .Values.certificates.nodes) -}}
{{- fail "cluster.founders is more than certificates.nodes" -}}
{{- end -}}
{{- if and (eq .Values.certificates.from "cert-manager") (not .Values.certificates.certManager.issuer.name) -}}
{{- fail "certificates.certManager.issuer.name is missing" -}}
{{- end -}}
{{- if and .Values.objectStore.endpoint .Values.objectStore.existingClaim -}}
{{- fail "objectStore names an endpoint and a claim: buckets are in one place" -}}
{{- end -}}
{{- if and .Values.objectStore.endpoint (not .Values.objectStore.existingSecret) -}}
{{- fail "objectStore.existingSecret is missing" -}}
{{- end -}}
{{- end -}}
