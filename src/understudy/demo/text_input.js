/** The text behind the address's `#`: decoded, or as it stands where a percent sign was typed by hand. */
function linkedText() {
  const hash = location.hash.slice(1);
  try {
    return decodeURIComponent(hash);
  } catch {
    return hash;
  }
}

/** Call `changed` with the typed text as bytes, now and whenever it changes. */
function connect(model, changed) {
  const input = element("text");
  const encoder = new TextEncoder();
  const read = () => {
    const bytes = encoder.encode(input.value);
    const cut = bytes.length > model.maxBytes ? `, the first ${model.maxBytes} are read` : ` of ${model.maxBytes} that are read`;
    element("read").textContent = `${bytes.length} bytes${cut}`;
    changed(bytes);
  };
  input.value ||= linkedText();
  input.addEventListener("input", read);
  read();
}
