// Text of the page whose contrast with what lies behind it is less than WCAG 2.1, 1.4.3 asks for.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, under) => under.map((c, i) => (top[i] * top[3] + c * (255 - top[3])) / 255);
  const behind = (e) => {
    if (e === null) return rgba("canvas").slice(0, 3);
    const own = rgba(getComputedStyle(e).backgroundColor);
    return own[3] === 255 ? own.slice(0, 3) : over(own, behind(e.parentElement));
  };
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ownText = (e) => [...e.childNodes].map((n) => (n.nodeType === Node.TEXT_NODE ? n.data.trim() : "")).join("");
  const faint = new Set();
  for (const e of document.querySelectorAll("body *")) {
    const text = ownText(e);
    if (!text || !e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    if (e.closest(":disabled, option, .hidden, .skip, svg, progress")) continue;
    const style = getComputedStyle(e), under = behind(e);
    const [dark, bright] = [light(over(rgba(style.color), under)), light(under)].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    const large = parseFloat(style.fontSize) >= (Number(style.fontWeight) >= 700 ? 18.66 : 24);
    if (contrast < (large ? 3 : 4.5)) faint.add(`${contrast.toFixed(2)} ${e.tagName} ${text.slice(0, 40)}`);
  }
  return [...faint];
}
