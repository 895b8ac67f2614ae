#!/usr/bin/env bash
# dpr-mini from the public data, start to finish; about two and a half hours on two cores.
#
#   recipes/dpr-mini/run.sh --data DIR --minilm DIR --to DIR
#
# DIR of --data and --minilm: see README.md beside this file. A step that was interrupted goes on
# where it stood when the same command is given again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=$2 ;; --minilm) minilm=$2 ;; --to) to=$2 ;;
    *) echo "unknown option $1; allowed: --data, --minilm, --to" >&2; exit 2 ;;
  esac
  shift 2
done
: "${data:?give --data DIR}" "${minilm:?give --minilm DIR}" "${to:?give --to DIR}"

[ -f "$to/data/reader-dev.jsonl" ] || "$python" "$here/prepare.py" --data "$data" --to "$to/data"
[ -d "$to/start/reader" ] || "$python" "$here/start.py" --minilm "$minilm" --to "$to/start"

"$python" -m dpr train retriever \
  --train "$to/data/retriever-train.jsonl" --dev "$to/data/retriever-dev.jsonl" \
  --start "$to/start" --tied --to "$to/retriever" \
  --epochs 2 --learning-rate 5e-5 --warmup-steps 100 --freeze-embeddings \
  --batch-size 96 --hard-negatives 1 --batching neighbours --neighbours 4 \
  --passage-length 160 --pack-tokens 2048

"$python" -m dpr train reader \
  --train "$to/data/reader-train.jsonl" --dev "$to/data/reader-dev.jsonl" \
  --start "$to/start/reader" --to "$to/reader" \
  --epochs 2 --learning-rate 1e-4 --warmup-steps 150 --freeze-embeddings --evaluations 2 \
  --batch-size 16 --passages 2 --max-length 192 --stride 64 --pack-tokens 2048

"$python" "$here/finish.py" --run "$to" --to "$to/dpr-mini"
"$python" "$here/choose.py" --data "$to/data" --model "$to/dpr-mini"
