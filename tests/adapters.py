"""Adapters (LoRA) for the tests, written without peft, and models into which they are merged."""

import json
import shutil

PREFIX = "base_model.model."
MODULES = ("q_proj", "v_proj", "down_proj")


def write_adapter(folder, model, rank, *, scale=2.0, seed=0, **config):
    """Write an adapter of a rank for a model, large enough to change what it says, and return its folder."""
    import torch
    from safetensors.torch import load_file, save_file

    random = torch.Generator().manual_seed(seed)
    weights = {}
    for name, weight in load_file(model / "model.safetensors").items():
        if name.split(".")[-2] in MODULES:
            out, into = weight.shape
            place = PREFIX + name.removesuffix(".weight")
            weights[f"{place}.lora_A.weight"] = torch.randn(rank, into, generator=random) / into**0.5
            weights[f"{place}.lora_B.weight"] = torch.randn(out, rank, generator=random) / rank**0.5
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    said = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": scale * rank, "lora_dropout": 0.0,
        "target_modules": list(MODULES), "bias": "none", "base_model_name_or_path": str(model), **config,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder


def merge(folder, model, adapter):
    """Write the model that adapter and model are together, by the definition: W + alpha / r B A."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, folder)
    said = json.loads((adapter / "adapter_config.json").read_text())
    weights = load_file(model / "model.safetensors")
    parts = load_file(adapter / "adapter_model.safetensors")
    for name in weights:
        place = PREFIX + name.removesuffix(".weight")
        if f"{place}.lora_A.weight" in parts:
            change = parts[f"{place}.lora_B.weight"] @ parts[f"{place}.lora_A.weight"]
            weights[name] = weights[name] + said["lora_alpha"] / said["r"] * change
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
