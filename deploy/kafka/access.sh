#!/bin/bash
# Sets the password of the service's user, and what it may do. Can be run again at any time.
set -euo pipefail

for name in KAFKA_ADMIN_PASSWORD KAFKA_PASSWORD; do
  # They become part of properties files below.
  if [[ ! ${!name} =~ ^[A-Za-z0-9_-]{12,}$ ]]; then
    echo "$name must be 12 or more letters, digits, \"-\" and \"_\"." >&2
    exit 1
  fi
done

bin=${KAFKA_BIN:-/opt/kafka/bin}
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Passwords go through files: arguments are for everybody to see.
cat > "$work/admin.properties" <<END
security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="admin" password="$KAFKA_ADMIN_PASSWORD";
ssl.truststore.type=PEM
ssl.truststore.location=${CA_FILE:-/certificates/ca.crt}
END
printf 'SCRAM-SHA-512=password=%s\n' "$KAFKA_PASSWORD" > "$work/user.properties"

"$bin/kafka-configs.sh" --bootstrap-server "$KAFKA_SERVER" --command-config "$work/admin.properties" \
  --alter --entity-type users --entity-name orderfold --add-config-file "$work/user.properties"

allow() { # resource operation...
  local resource=$1
  shift
  "$bin/kafka-acls.sh" --bootstrap-server "$KAFKA_SERVER" --command-config "$work/admin.properties" \
    --add --allow-principal User:orderfold --resource-pattern-type prefixed "--$resource" orderfold. "${@/#/--operation=}" > /dev/null
}

# Its own topics and groups, nothing else. Delete: records and groups that nobody needs any more.
allow topic Create Describe DescribeConfigs Read Write Delete
allow group Describe Read Delete

echo 'The service has access.'
