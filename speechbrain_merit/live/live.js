// The live tab: a microphone over the websocket of speechbrain_merit/live/sockets.py.
// Blocks are sent as they come and none is dropped, however slow the answers are.
(() => {
  const BLOCK_SECONDS = 0.1, KEPT_SECONDS = 120;
  const COLOURS = ["#c4572b", "#1f5a96", "#e0a526", "#4f7f3a", "#7d4f9e", "#3d8b8b"];
  const TAP = `registerProcessor("tap", class extends AudioWorkletProcessor {
    process(inputs) { if (inputs[0][0]) this.port.postMessage(inputs[0][0].slice()); return true; }
  });`;
  const part = (name) => document.getElementById("merit-" + name);
  const say = (text) => { part("now").textContent = text; };
  let running = null;

  async function start() {
    const run = { noisy: [], clean: [], kept: 0, waiting: [], count: 0, runs: [], colours: {} };
    try {
      const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      run.microphone = await navigator.mediaDevices.getUserMedia({ audio: plain });
    } catch (error) {
      return say("There is no microphone, or it may not be used here: " + error.message);
    }
    run.context = new AudioContext();
    run.rate = run.context.sampleRate;
    const code = URL.createObjectURL(new Blob([TAP], { type: "text/javascript" }));
    await run.context.audioWorklet.addModule(code);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = `sample_rate=${run.rate}&latency=${part("live").dataset.latency}`;
    run.socket = new WebSocket(`${scheme}://${location.host}/stream?${query}`);
    run.socket.binaryType = "arraybuffer";
    run.socket.onmessage = (message) => take(run, message.data);
    run.socket.onclose = () => { if (running === run) { release(run); label(false); } };
    run.socket.onopen = () => {
      const tap = new AudioWorkletNode(run.context, "tap");
      tap.port.onmessage = (message) => push(run, message.data);
      run.context.createMediaStreamSource(run.microphone).connect(tap);
      say("Speak: after a second or two, the emotion stands here.");
    };
    running = run;
    label(true);
    part("players").hidden = true;
  }

  function push(run, samples) {
    run.waiting.push(samples);
    run.count += samples.length;
    if (run.count >= BLOCK_SECONDS * run.rate) send(run);
  }

  function send(run) {
    const block = joined(run.waiting);
    run.waiting = [];
    run.count = 0;
    if (run.socket.readyState !== WebSocket.OPEN || !block.length) return;
    run.socket.send(block.buffer);
    if (run.kept < KEPT_SECONDS * run.rate) run.noisy.push(block);
    run.kept += block.length;
  }

  function take(run, data) {
    if (data instanceof ArrayBuffer) {
      if (run.clean.length < KEPT_SECONDS * 10) run.clean.push(new Float32Array(data));
      return;
    }
    const told = JSON.parse(data);
    if (told.error) return say(told.error);
    if (told.finished) return finished(run);
    const snr = told.snr_db === null ? "" : `, SNR about ${told.snr_db.toFixed(0)} dB`;
    say(told.emotion.replace("_", " "));
    part("facts").textContent = `${told.at.toFixed(1)} s${snr}`;
    bars(run, told.probabilities || {});
    const last = run.runs[run.runs.length - 1];
    if (last && last.emotion === told.emotion) last.samples += told.samples;
    else run.runs.push({ emotion: told.emotion, samples: told.samples });
    strip(run);
  }

  function colour(run, name) {
    if (name === "no_speech") return "#dddddd";
    run.colours[name] ??= COLOURS[Object.keys(run.colours).length % COLOURS.length];
    return run.colours[name];
  }

  function bars(run, probabilities) {
    part("bars").replaceChildren(...Object.entries(probabilities).map(([name, value]) => {
      const row = document.createElement("div"), bar = document.createElement("span");
      bar.style.cssText = `display:inline-block;height:.7em;width:${60 * value}%;margin-right:.5em;`
        + `background:${colour(run, name)}`;
      row.append(bar, `${name} ${Math.round(100 * value)} %`);
      return row;
    }));
  }

  function strip(run) {
    part("strip").replaceChildren(...run.runs.map((one) => {
      const piece = document.createElement("span");
      piece.style.cssText = `flex:${one.samples};background:${colour(run, one.emotion)}`;
      piece.title = `${one.emotion}, ${(one.samples / run.rate).toFixed(1)} s`;
      return piece;
    }));
  }

  function stop() {
    const run = running;
    running = null;
    label(false);
    release(run);
    send(run);
    if (run.socket.readyState === WebSocket.OPEN) run.socket.send("finish");
  }

  function release(run) {
    run.microphone.getTracks().forEach((track) => track.stop());
    run.context.close();
  }

  function finished(run) {
    part("players").hidden = false;
    const noisy = joined(run.noisy), clean = joined(run.clean).subarray(0, noisy.length);
    part("before").src = URL.createObjectURL(wav(noisy, run.rate));
    part("after").src = URL.createObjectURL(wav(clean, run.rate));
  }

  function joined(blocks) {
    const result = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0));
    let at = 0;
    for (const block of blocks) { result.set(block, at); at += block.length; }
    return result;
  }

  function wav(samples, rate) {
    const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
    const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
    text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
    view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
    view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true);
    view.setUint16(32, 2, true); view.setUint16(34, 16, true);
    text(36, "data"); view.setUint32(40, 2 * samples.length, true);
    samples.forEach((value, i) =>
      view.setInt16(44 + 2 * i, Math.max(-1, Math.min(1, value)) * 32767, true));
    return new Blob([view], { type: "audio/wav" });
  }

  function label(on) { part("button").textContent = on ? "Stop" : "Start"; }
  window.meritLive = () => (running ? stop() : start());
})();
