"""The start of dpr-mini: MiniLM's BERT, and one more layer that gives [CLS] the mean of all tokens.

    python start.py --minilm DIR --to DIR [--random]

The only pretrained weights at hand were trained for mean pooling, while DPR reads [CLS]. A BERT
layer can compute that mean: with query and key (nearly) zero its attention is uniform, with value
and output an identity it adds the mean of all tokens to [CLS], scaled up so far that the residual
is lost beside it; the feed-forward half adds nothing, and the last LayerNorm gives every vector
the same length, so that the dot product is a scaled cosine. So [CLS] starts with the quality of
mean pooling, within the architecture, and training goes on from there. --random keeps nothing of
MiniLM but its sizes and its vocabulary: what its weights are worth is then told by training alike.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch

from dpr.models import DPRConfig, DPRQuestionEncoder, DPRReader
from dpr.tokens import DPRQuestionEncoderTokenizer, DPRReaderTokenizer

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MEAN_SCALE = 30.0  # of the mean against [CLS]'s own residual, which is about as long
SIMILARITY_SCALE = 20.0  # dot product of equal directions: a softmax temperature of 0.05
SEED = 0


def add_mean_layer(model: DPRQuestionEncoder) -> None:
    """Turns the last layer, fresh from the configuration, into the mean described above."""
    layer = model.stack.encoder.layer[-1]
    size = model.config.hidden_size
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for linear in (layer.attention.self.query, layer.attention.self.key):
            linear.weight.normal_(0.0, 0.02, generator=generator)
            linear.bias.zero_()
        for linear, scale in (
            (layer.attention.self.value, MEAN_SCALE),
            (layer.attention.output.dense, 1.0),
        ):
            linear.weight.copy_(scale * torch.eye(size))
            linear.bias.zero_()
        layer.intermediate.dense.weight.normal_(0.0, 0.02, generator=generator)
        layer.intermediate.dense.bias.zero_()
        layer.output.dense.weight.zero_()
        layer.output.dense.bias.zero_()
        layer.attention.output.LayerNorm.reset_parameters()
        layer.output.LayerNorm.reset_parameters()
        layer.output.LayerNorm.weight.fill_((SIMILARITY_SCALE / size) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minilm", type=Path, required=True, help="folder with model.safetensors")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--random", action="store_true", help="weights anew, sizes as they are")
    args = parser.parse_args()
    found = hashlib.sha256((args.minilm / "model.safetensors").read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{args.minilm}/model.safetensors has sha256 {found}, expected {SHA256}")

    six = DPRQuestionEncoder.from_pretrained(args.minilm, dtype="float32")
    torch.manual_seed(SEED)
    if args.random:
        six = DPRQuestionEncoder(six.config)
    sizes = six.config.to_dict() | {"num_hidden_layers": 7, "attention_probs_dropout_prob": 0.0}
    config = DPRConfig(**sizes)
    seven = DPRQuestionEncoder(config)
    seven.load_state_dict(six.state_dict(), strict=False)
    add_mean_layer(seven)
    seven.save_pretrained(args.to / "encoder")
    DPRQuestionEncoderTokenizer.from_pretrained(args.minilm).save_pretrained(args.to / "encoder")

    torch.manual_seed(SEED)
    reader = DPRReader.from_pretrained(
        args.minilm, dtype="float32", attention_probs_dropout_prob=0.0
    )
    if args.random:
        reader = DPRReader(reader.config)
    reader.save_pretrained(args.to / "reader")
    DPRReaderTokenizer.from_pretrained(args.minilm).save_pretrained(args.to / "reader")


if __name__ == "__main__":
    main()
