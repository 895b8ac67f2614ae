#!/usr/bin/env bash
# The experiment of Karpukhin et al. (2020) on Natural Questions, step by step; see README.md beside
# this file, also for what it takes. Not run in full by us.
#
#   recipes/natural-questions/run.sh --to DIR [--data DIR] [--start PLACE] [--gpus N] [STEP...]
#
# Without a STEP all are done, in this order: download check train-1 encode-1 mine train-2 encode-2
# tune search evaluate reader-samples train-reader calibrate answer. A step that is done is passed
# over, and one that was interrupted goes on where it stood when the same command is given again.
# To do one anew, remove DIR/done/STEP and what it made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
all="download check train-1 encode-1 mine train-2 encode-2 tune search evaluate"
all="$all reader-samples train-reader calibrate answer"
to='' data='' start=bert-base-uncased gpus=1 steps=''
while [ $# -gt 0 ]; do
  case $1 in
    --to | --data | --start | --gpus)
      [ $# -gt 1 ] || { echo "$1 needs a value" >&2; exit 2; }
      printf -v "${1#--}" %s "$2"; shift 2 ;;
    *)
      case " $all " in *" $1 "*) ;; *)
        echo "unknown $1; options are --to, --data, --start, --gpus, steps:" $all >&2; exit 2 ;;
      esac
      steps="$steps $1"; shift ;;
  esac
done
: "${to:?give --to DIR}"
data=${data:-$to/data}
train=${NQ_TRAIN_FILE:-$data/biencoder-nq-train.json.gz}
dev=${NQ_DEV_FILE:-$data/biencoder-nq-dev.json.gz}
passages=${NQ_PASSAGES:-$data/psgs_w100.tsv.gz}
round=${NQ_ROUND:-1} # whose collection is tuned, and read by the reader: the paper's is the first
launch='-m dpr'
if [ "$gpus" -gt 1 ]; then
  launch="-m torch.distributed.run --nproc-per-node $gpus -m dpr --"
fi
# Where there is a GPU it encodes and reads, many tokens at once, and trains in bfloat16.
if command -v nvidia-smi >/dev/null; then
  export DPR_DEVICE=${DPR_DEVICE:-cuda}
fi
case ${DPR_DEVICE:-cpu} in
  cuda*) precision=bfloat16 tokens=32768 ;;
  *) precision=float32 tokens=0 ;;
esac

dpr() { "$python" -m dpr "$@"; }

# Options after the paper's win over them; NQ_... gives them for one step.
train_retriever() { # RUN MODEL MORE...
  local run=$1 model=$2
  shift 2
  # The learning rate is the paper's; the original's code has 2e-5.
  "$python" $launch train retriever --dev "$dev" --start "$start" --untied --to "$to/$run" \
    --batch-size 128 --hard-negatives 1 --question-length 256 --passage-length 256 \
    --learning-rate 1e-5 --warmup-steps 1237 --epochs 40 --clip-norm 2.0 \
    --precision $precision "$@" ${NQ_RETRIEVER:-}
  "$python" "$here/model.py" --retriever "$to/$run/best" --to "$to/$model" --batch-tokens $tokens
}

encode() { # NUMBER: all passages by the model of a round, one process a GPU
  local folder=$to/wiki-$1.dpr model=$to/model-$1 parts=$to/parts
  if [ "$gpus" -le 1 ]; then
    if [ -f "$folder/manifest.json" ]; then return; fi
    dpr index "$passages" --format psgs --split none --to "$folder" --model "$model" ${NQ_INDEX:-}
    return
  fi
  "$python" "$here/parts.py" --passages "$passages" --parts "$gpus" --to "$parts"
  local running=() failed=0 n
  for ((n = 0; n < gpus; n++)); do
    encode_part "$1" "$n" &
    running+=($!)
  done
  for one in "${running[@]}"; do wait "$one" || failed=1; done
  [ $failed -eq 0 ] || return 1
  if [ ! -f "$folder/manifest.json" ]; then
    dpr import "$passages" --format psgs --vectors "$parts/$1-*.npy" --ids "$parts/$1-*.ids.txt" \
      --to "$folder" --model "$model" ${NQ_INDEX:-}
  fi
  rm -rf "$parts/$1-"*
}

encode_part() { # NUMBER PART
  local folder=$to/parts/$1-$2.dpr vectors=$to/parts/$1-$2
  if [ -f "$vectors.npy" ] && [ -f "$vectors.ids.txt" ]; then return; fi
  export CUDA_VISIBLE_DEVICES=$2
  [ -f "$folder/manifest.json" ] ||
    dpr index "$to/parts/$2.tsv" --format psgs --split none --words none --to "$folder" \
      --model "$to/model-$1" ${NQ_INDEX:-} || return 1
  dpr export "$folder" --dtype stored --to "$vectors.npy"
}

download() {
  "$python" "$here/download.py" --to "$data" ${NQ_DOWNLOAD:-}
}

check() { # shows faults and writes a copy without them; the paper trained on all (NQ_TRAIN_FILE)
  local clean=$to/train.clean.jsonl code=0
  rm -f "$clean"
  dpr doctor "$train" --test "$data/nq-test.qa.csv" --test "$data/nq-dev.qa.csv" \
    --clean "$clean" ${NQ_CHECK:-} >"$to/doctor.txt" || code=$?
  cat "$to/doctor.txt"
  [ -f "$clean" ] || return 1
  [ $code -le 1 ] # 1: there are faults
}

train-1() { train_retriever retriever-1 model-1 --train "$train"; }

encode-1() { encode 1; }

mine() {
  dpr mine --train "$train" --to "$to/mined.jsonl" --passages "$to/wiki-1.dpr" --by dense \
    --model "$to/model-1" --last-rank 100 ${NQ_MINE:-}
}

train-2() { # from the start again, with both kinds of negatives
  train_retriever retriever-2 model-2 --train "$train" --train "$to/mined.jsonl"
}

encode-2() { encode 2; }

tune() {
  COLUMNS=160 dpr tune "$to/wiki-$round.dpr" --questions "$dev" --recall 0.98 --memory 16GB ${NQ_TUNE:-} \
    >"$to/tune.txt" || { cat "$to/tune.txt"; return 1; }
  cat "$to/tune.txt"
}

search() { # what words find, and both together
  mkdir -p "$to/hits"
  for mode in bm25 hybrid; do
    dpr search "$to/wiki-$round.dpr" --questions "$data/nq-test.qa.csv" --mode $mode --k 100 \
      --format results --output "$to/hits/$mode.json.gz" ${NQ_SEARCH:-}
  done
}

evaluate() { # Table 2
  local systems=("dpr-1=$to/wiki-1.dpr")
  [ ! -f "$to/wiki-2.dpr/manifest.json" ] || systems+=("dpr-2=$to/wiki-2.dpr")
  dpr evaluate "${systems[@]}" "hybrid=$to/hits/hybrid.json.gz" "bm25=$to/hits/bm25.json.gz" \
    --baseline bm25 --questions "$data/nq-test.qa.csv" --mode dense --depth 100 --read 0 \
    --title "Natural Questions, passages" --to "$to/report-passages" ${NQ_EVALUATE:-}
}

reader-samples() {
  "$python" "$here/reader_samples.py" --collection "$to/wiki-$round.dpr" --gold "$train" \
    --questions "$data/nq-train.qa.csv" --to "$to/reader-train.jsonl" \
    --questions "$data/nq-dev.qa.csv" --to "$to/reader-dev.jsonl" ${NQ_READER_SAMPLES:-}
}

train-reader() {
  "$python" $launch train reader --train "$to/reader-train.jsonl" --dev "$to/reader-dev.jsonl" \
    --start "$start" --to "$to/reader" --batch-size 16 --passages 24 --max-length 350 \
    --learning-rate 1e-5 --warmup-steps 0 --epochs 16 --evaluations 2 --precision $precision \
    ${NQ_READER:-}
  "$python" "$here/model.py" --reader "$to/reader/best" --to "$to/model-$round" \
    --batch-tokens $tokens
}

calibrate() {
  dpr calibrate "$to/wiki-$round.dpr" --questions "$data/nq-dev.qa.csv" --mode dense \
    ${NQ_CALIBRATE:-}
}

answer() { # Table 4
  dpr evaluate "dpr-$round=$to/wiki-$round.dpr" --questions "$data/nq-test.qa.csv" --mode dense \
    --depth 100 --read 100 --title "Natural Questions, answers" --to "$to/report-answers" \
    ${NQ_ANSWER:-}
}

mkdir -p "$to/done"
for step in ${steps:-$all}; do
  if [ -f "$to/done/$step" ]; then
    echo "== $step: done before"
    continue
  fi
  echo "== $step"
  # In a shell of its own, since bash does not stop at errors within "if" or "||".
  (set -e; "$step")
  date -u +%Y-%m-%dT%H:%M:%SZ >"$to/done/$step"
done
