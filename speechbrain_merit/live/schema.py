"""What the service answers, for its OpenAPI page: the JSON of ``merit analyse``."""

from pydantic import BaseModel, Field


class Segment(BaseModel):
    """A stretch of one emotion."""

    start: float
    end: float
    emotion: str
    score: float | None


class Recording(BaseModel):
    """All that is known of a recording."""

    path: str = Field(description="the client's name for it")
    duration: float = Field(description="seconds")
    sample_rate: int = Field(description="of the recording, Hz")
    channel: int | None = Field(None, description="where each is heard by itself")
    emotion: str | None = Field(description="`no_speech` where nobody is heard")
    probabilities: dict[str, float] | None
    attributes: dict[str, float]
    segments: list[Segment] = Field(description="the emotion over time")
    speech_seconds: float
    snr_db: float | None = Field(description="estimated")
    joints: list[float] = Field(description="seconds at which windows met")
    warnings: list[str]


class Channels(BaseModel):
    """A recording with `channels=separate`: one speaker a channel, such as a call of two."""

    path: str = Field(description="the client's name for it")
    duration: float = Field(description="seconds")
    sample_rate: int = Field(description="of the recording, Hz")
    channels: list[Recording]


class Failed(BaseModel):
    """A recording of several that could not be heard."""

    path: str
    error: str


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


class Health(BaseModel):
    """Whether the service works, and how busy it is."""

    status: str
    requests: int = Field(description="received or heard at the moment")
    places: int = Field(description="of these, at most")
    streams: int = Field(description="open at the moment")


class Version(BaseModel):
    """What answers."""

    speechbrain_merit: str
    model: str = Field(description="a mark of weights, labels, temperature and window")
    labels: list[str]
    tasks: list[str]
