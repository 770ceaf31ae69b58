#!/bin/bash
# Makes an authority and, signed by it, the certificates of Elasticsearch and Kafka; does nothing where they are. Runs as root in Elasticsearch's image.
# The authority's key is thrown away: nobody can sign another one. To renew, remove the three volumes of certificates and start again.
set -euo pipefail

home=${ELASTICSEARCH_HOME:-/usr/share/elasticsearch}
private=${PRIVATE_DIRECTORY:-$home/config/certificates}
kafka=${KAFKA_DIRECTORY:-/kafka}
public=${PUBLIC_DIRECTORY:-/certificates}
owner=${OWNER:-1000:0}
kafka_owner=${KAFKA_OWNER:-1000:1000}

if [[ -f $private/elasticsearch.key && -f $kafka/kafka.p12 && -f $public/ca.crt ]]; then
  echo 'The certificates are there.'
  exit
fi

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$home/bin/elasticsearch-certutil" ca --silent --pem --days 3650 --out "$work/ca.zip"
unzip -q "$work/ca.zip" -d "$work"
"$home/bin/elasticsearch-certutil" cert --silent --pem --days 3650 --name elasticsearch --dns elasticsearch --dns localhost --ip 127.0.0.1 \
  --ca-cert "$work/ca/ca.crt" --ca-key "$work/ca/ca.key" --out "$work/certificate.zip"
unzip -q "$work/certificate.zip" -d "$work"
# It asks for the password: arguments are for everybody to see.
"$home/bin/elasticsearch-certutil" cert --silent --days 3650 --name kafka --dns kafka --dns localhost --ip 127.0.0.1 \
  --ca-cert "$work/ca/ca.crt" --ca-key "$work/ca/ca.key" --out "$work/kafka.p12" <<< "$KAFKA_KEYSTORE_PASSWORD"

cp "$work/ca/ca.crt" "$public/ca.crt"
chmod 755 "$public"
chmod 644 "$public/ca.crt"
cp "$work/ca/ca.crt" "$work/elasticsearch/elasticsearch.crt" "$private/"
cp "$work/kafka.p12" "$kafka/"
chown -R "$kafka_owner" "$kafka"
chmod 750 "$kafka"
chmod 640 "$kafka/kafka.p12"
# Last: where it is, the rest is.
cp "$work/elasticsearch/elasticsearch.key" "$private/.elasticsearch.key"
mv "$private/.elasticsearch.key" "$private/elasticsearch.key"
chown -R "$owner" "$private"
chmod 750 "$private"
chmod 640 "$private"/*
echo 'The certificates are made.'
