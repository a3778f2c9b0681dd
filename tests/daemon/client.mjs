// A client in JavaScript, as docs/protocol.md describes one: node --experimental-websocket client.mjs DAEMON.JSON STEPS
//
// STEPS is JSON: {"send": MESSAGE}, {"silence_ms": N, "stream": S}, {"wait": TYPE, "state": STATE}. Prints what arrives.

import { readFileSync } from "node:fs";

const where = JSON.parse(readFileSync(process.argv[2], "utf8"));
const steps = JSON.parse(process.argv[3]);
// Cuts an emoji in half, as a text field that counts UTF-16 units does.
const half = "\u{1F600}".slice(0, 1);
const socket = new WebSocket(`ws://${where.host}:${where.port}${where.path}`, ["mythic.v1", `mythic.token.${where.token}`]);
socket.binaryType = "arraybuffer";

function micFrame(stream, sequence, samples) {
  const frame = new DataView(new ArrayBuffer(24 + 2 * samples));
  [0x4d, 0x59, 1, 1].forEach((byte, at) => frame.setUint8(at, byte));
  frame.setUint16(6, 24, true);
  frame.setUint32(8, stream, true);
  frame.setBigUint64(16, BigInt(sequence * samples), true);
  return frame.buffer;
}

function next() {
  while (steps.length && !steps[0].wait) {
    const step = steps.shift();
    if (step.send) {
      socket.send(JSON.stringify(step.send).replaceAll("HALF_AN_EMOJI", JSON.stringify(half).slice(1, -1)));
    } else {
      for (let at = 0; at * 20 < step.silence_ms; at += 1) socket.send(micFrame(step.stream, at, 320));
    }
  }
  if (!steps.length) socket.close(1000);
}

socket.onopen = () => next();
socket.onmessage = ({ data }) => {
  if (typeof data !== "string") return;
  console.log(data);
  const message = JSON.parse(data);
  if (message.type === "StreamEnd") {
    // Heard at once: this client has no loudspeaker.
    socket.send(JSON.stringify({ type: "PlaybackStopped", stream: message.stream, played_samples: message.samples }));
  }
  const wait = steps[0];
  if (wait && message.type === wait.wait && (!wait.state || message.state === wait.state)) {
    steps.shift();
    next();
  }
};
socket.onclose = ({ code }) => console.log(JSON.stringify({ type: "Closed", code }));
socket.onerror = ({ message }) => console.log(JSON.stringify({ type: "Failed", message }));
