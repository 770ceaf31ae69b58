#!/bin/bash
# Loads the saved objects beside this script into Kibana, over what has the same ids.
set -euo pipefail
cd "$(dirname "$0")"

for file in *.ndjson; do
  # The password comes through a pipe: arguments are for everybody to see.
  answer=$(curl --silent --show-error --retry 5 --retry-delay 5 --config <(printf 'user = "elastic:%s"' "$ELASTIC_PASSWORD") \
    --header 'kbn-xsrf: orderfold' --form "file=@$file" "$KIBANA_URL/api/saved_objects/_import?overwrite=true")
  if [[ $answer != *'"success":true'* ]]; then
    echo "$file: $answer" >&2
    exit 1
  fi
  echo "$file is loaded."
done
