"""The layers of Whisper's encoder without transformers, whose models take seconds to import.

The same arithmetic in the same order, and the same names of weights, so that an exported model
gives bit for bit what it gave in training, where transformers' own class is used.
"""

from types import SimpleNamespace

from torch import nn

KERNEL = 3  # of both convolutions


class Config(SimpleNamespace):
    """The configuration under its names in transformers."""

    def to_diff_dict(self):
        """The keys and values."""
        return {**vars(self), "model_type": "whisper"}


class Attention(nn.Module):
    """Multi-head self-attention; the key has no bias.

    Example
    -------
    >>> import torch
    >>> Attention(8, n_heads=2)(torch.randn(1, 5, 8), None).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states, mask):
        """States (B, T, D) under a mask (B, 1, 1, T) of the frames that are there, or None."""
        batch, n_frames, width = states.shape
        shape = (batch, n_frames, self.n_heads, width // self.n_heads)
        queries = self.q_proj(states) * shape[-1] ** -0.5
        parts = (queries, self.k_proj(states), self.v_proj(states))
        q, k, v = (part.view(shape).transpose(1, 2).contiguous() for part in parts)
        heard = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        return self.out_proj(heard.transpose(1, 2).contiguous().reshape(states.shape))


class Layer(nn.Module):
    """A transformer layer with its LayerNorms in front.

    Example
    -------
    >>> import torch
    >>> Layer(8, n_heads=2, hidden=16)(torch.randn(1, 5, 8), None).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width, n_heads, hidden):
        super().__init__()
        self.self_attn = Attention(width, n_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, states, mask):
        """States (B, T, D) to states (B, T, D)."""
        states = states + self.self_attn(self.self_attn_layer_norm(states), mask)
        inner = nn.functional.gelu(self.fc1(self.final_layer_norm(states)))
        return states + self.fc2(inner)


class Layers(nn.Module):
    """What :class:`~speechbrain_merit.lobes.whisper.WhisperHidden` needs of Whisper's encoder.

    Arguments
    ---------
    config : dict
        ``d_model``, ``encoder_layers``, ``encoder_attention_heads``, ``encoder_ffn_dim``,
        ``num_mel_bins``, ``max_source_positions``.

    Example
    -------
    >>> layers = Layers(dict(d_model=8, encoder_layers=2, encoder_attention_heads=2,
    ...     encoder_ffn_dim=16, num_mel_bins=80, max_source_positions=1500))
    >>> len(layers.layers)
    2
    """

    def __init__(self, config):
        super().__init__()
        self.config = Config(**config)
        width, heads = config["d_model"], config["encoder_attention_heads"]
        self.conv1 = nn.Conv1d(config["num_mel_bins"], width, KERNEL, padding=1)
        self.conv2 = nn.Conv1d(width, width, KERNEL, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config["max_source_positions"], width)
        self.layers = nn.ModuleList(
            Layer(width, heads, config["encoder_ffn_dim"]) for _ in range(config["encoder_layers"])
        )
        self.layer_norm = nn.LayerNorm(width)  # behind the last layer; no hidden state passes it


def fits(config):
    """Whether these layers are all that a configuration asks for.

    Example
    -------
    >>> fits({"activation_function": "relu"})
    False
    """
    return config.get("activation_function") == "gelu" and "encoder_ffn_dim" in config
