#!/bin/bash
# Sets Kibana's password, and makes the service's role and user. Can be run again at any time.
set -euo pipefail

for name in ELASTIC_PASSWORD KIBANA_PASSWORD ELASTICSEARCH_PASSWORD; do
  # They become part of JSON and of curl's configuration below.
  if [[ ! ${!name} =~ ^[A-Za-z0-9_-]{12,}$ ]]; then
    echo "$name must be 12 or more letters, digits, \"-\" and \"_\"." >&2
    exit 1
  fi
done

# Passwords come through pipes: arguments are for everybody to see.
send() { # method path body
  curl --silent --show-error --fail --output /dev/null --cacert "${CA_FILE:-/certificates/ca.crt}" \
    --config <(printf 'user = "elastic:%s"' "$ELASTIC_PASSWORD") \
    --request "$1" --header 'content-type: application/json' --data-binary @<(printf '%s' "$3") "$ELASTICSEARCH_URL$2"
}

send POST /_security/user/kibana_system/_password "{\"password\": \"$KIBANA_PASSWORD\"}"

# manage: making, swapping by alias and removing the generations of a view. monitor: the cluster's health.
send PUT /_security/role/orderfold '{
  "cluster": ["monitor"],
  "indices": [{ "names": ["orderfold-*"], "privileges": ["read", "write", "manage"] }]
}'
send PUT /_security/user/orderfold "{\"password\": \"$ELASTICSEARCH_PASSWORD\", \"roles\": [\"orderfold\"], \"full_name\": \"The Orderfold service\"}"

echo 'Kibana and the service have access.'
