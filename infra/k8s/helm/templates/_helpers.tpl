{{- define "stanch.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- $name := index . 1 -}}
{{- $image.repository }}/{{ $name }}
{{- with $image.tag }}:{{ . }}{{ end }}
{{- with get $image.digests $name }}@{{ . }}{{ end }}
{{- end -}}

{{- define "stanch.callers" -}}
{{- with .Values.callers -}}
{{ . }}
{{- else -}}
mtls: {certificate: /tls/tls.crt, key: /tls/tls.key, clients: /tls/ca.crt, events: ["spiffe://stanch/falcosidekick"]}
kubernetes: {audience: stanch, orders: ["system:serviceaccount:{{ .Release.Namespace }}:analyst"]}
{{ end }}
{{- end -}}
