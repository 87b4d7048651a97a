// A film of what a person sees of a VM, made and kept in the browser: it goes on when the VM changes its mode or
// the screen is connected anew, and is saved when it is ended, is long enough, or the page of the VM is left.

import { byId, say } from "./dom.js";

const PER_SECOND = 15;
/** What a browser keeps in memory of one film. */
const MOST_BYTES = 500e6;
const TYPES = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/mp4"];

/** Makes the button of a VM's page record; gives what ends it. `canvasOf` gives the screen as it is now. */
export function offerFilm(name, canvasOf) {
  const button = byId("record");
  const type = globalThis.MediaRecorder === undefined
    ? undefined
    : TYPES.find((each) => MediaRecorder.isTypeSupported(each));
  button.hidden = type === undefined;
  let film;
  const told = (isOn) => {
    button.textContent = isOn ? "Save recording" : "Record";
    button.setAttribute("aria-pressed", String(isOn));
  };
  const begin = () => {
    const first = canvasOf();
    if (!first?.width) return say("There is no screen to record yet.");
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [first.width, first.height];
    const pen = picture.getContext("2d");
    const draw = () => {
      const from = canvasOf();
      if (!from?.width) return;
      // Another mode is shown as a whole, at the film's size.
      const scale = Math.min(picture.width / from.width, picture.height / from.height);
      const [width, height] = [from.width * scale, from.height * scale];
      if (scale !== 1) pen.clearRect(0, 0, picture.width, picture.height);
      pen.drawImage(from, (picture.width - width) / 2, (picture.height - height) / 2, width, height);
    };
    const parts = [];
    let bytes = 0;
    const recorder = new MediaRecorder(picture.captureStream(PER_SECOND), { mimeType: type });
    recorder.ondataavailable = ({ data }) => {
      parts.push(data);
      bytes += data.size;
      if (bytes > MOST_BYTES) end("The recording is as long as it can be, and was saved.");
    };
    recorder.onstop = () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(parts, { type }));
      const time = new Date().toISOString().slice(0, 19).replaceAll(":", "");
      link.download = `${name.replaceAll(/[^\w.@-]/g, "_")}-${time}.${
        type.startsWith("video/mp4") ? "mp4" : "webm"
      }`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    };
    recorder.start(1000);
    draw();
    film = { recorder, timer: setInterval(draw, 1000 / PER_SECOND) };
    told(true);
    say("Recording the screen.");
  };
  const end = (words) => {
    if (film === undefined) return;
    clearInterval(film.timer);
    film.recorder.stop();
    film = undefined;
    told(false);
    say(words);
  };
  button.onclick = () => film === undefined ? begin() : end("The recording was saved.");
  told(false);
  return () => end("The recording was saved.");
}
