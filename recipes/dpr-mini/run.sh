#!/usr/bin/env bash
# dpr-mini from the public data, start to finish; some three hours on two cores.
#
#   recipes/dpr-mini/run.sh --data DIR --minilm DIR --factbook WHEEL --foldoc FILE --to DIR \
#       [--precision float32]
#
# What --data to --foldoc name: see README.md beside this file. A step that was interrupted goes on
# where it stood when the same command is given again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
precision=bfloat16
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=$2 ;; --minilm) minilm=$2 ;; --factbook) factbook=$2 ;; --foldoc) foldoc=$2 ;;
    --to) to=$2 ;; --precision) precision=$2 ;;
    *) echo "unknown option $1; allowed: --data, --minilm, --factbook, --foldoc, --to, --precision" >&2
       exit 2 ;;
  esac
  shift 2
done
: "${data:?give --data DIR}" "${minilm:?give --minilm DIR}" "${to:?give --to DIR}"
: "${factbook:?give --factbook WHEEL}" "${foldoc:?give --foldoc FILE}"

[ -f "$to/data/reader-dev.jsonl" ] || "$python" "$here/prepare.py" --data "$data" --to "$to/data"
[ -d "$to/start/reader" ] || "$python" "$here/start.py" --minilm "$minilm" --to "$to/start"

"$python" -m dpr mine --train "$to/data/retriever-train.jsonl" --to "$to/data/mined.jsonl" \
  --by both --model "$to/start" --negatives 10

# Three retrievers, whose weights finish.py averages: two learn what words do not find, one what
# words find.
train_retriever() {
  "$python" -m dpr train retriever --to "$to/$1" --precision "$precision" \
    --train "$to/data/mined.jsonl" --dev "$to/data/retriever-dev.jsonl" --start "$to/start" --tied \
    --epochs 2 --learning-rate 5e-5 --warmup-steps 10 --hard-negatives 1 \
    --batching neighbours --passage-length 384 --pack-tokens 4096 "${@:2}"
}
for seed in 0 1; do
  train_retriever "retriever-$seed" --seed $seed --batch-size 192 --neighbours 12 \
    --hybrid 0.5 --distillation 0.4 --teachers start=1
done
train_retriever retriever-words --batch-size 256 --neighbours 48 \
  --distillation 0.5 --teachers bm25=0.9,start=0.6

# The reader first learns to point at spans, on passages without labels, as its start was made for
# whole sentences.
if [ ! -f "$to/data/texts.jsonl" ]; then
  "$python" "$here/texts.py" --data "$data" --samples "$to/data/retriever-train.jsonl" \
    --factbook "$factbook" --foldoc "$foldoc" --to "$to/data/texts.part"
  mv "$to/data/texts.part" "$to/data/texts.jsonl"
fi
# The file appears when it is whole.
[ -f "$to/data/clozes.jsonl" ] || "$python" -m dpr pairs "$to/data/texts.jsonl" \
  --to "$to/data/clozes.jsonl" --kinds pseudo --per-passage 3 --split none

train_reader() {
  "$python" -m dpr train reader --to "$to/$1" --precision "$precision" \
    --dev "$to/data/reader-dev.jsonl" --pack-tokens 2048 "${@:2}"
}
train_reader reader-clozes --train "$to/data/clozes.jsonl" --start "$to/start/reader" \
  --epochs 1 --learning-rate 2e-4 --warmup-steps 60 --evaluations 2 \
  --batch-size 32 --passages 1 --max-length 192 --stride 64
train_reader reader --train "$to/data/reader-train.jsonl" --start "$to/reader-clozes/best/reader" \
  --epochs 3 --learning-rate 1e-4 --warmup-steps 100 --evaluations 1 \
  --batch-size 16 --passages 2 --max-length 256 --stride 96

"$python" "$here/finish.py" --run "$to" --to "$to/dpr-mini"
"$python" "$here/choose.py" --data "$to/data" --model "$to/dpr-mini"
