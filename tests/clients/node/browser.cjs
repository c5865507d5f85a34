// A browser as far as sessions go: it asks a server on this machine and keeps the cookies it is given.

class Browser {
  cookies = new Map();

  constructor(port) {
    this.origin = `http://127.0.0.1:${port}`;
  }

  // The reply's body, read as JSON where there is one.
  async ask(path, { method = "GET", body } = {}) {
    const headers = { origin: this.origin };
    if (this.cookies.size > 0) headers.cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    if (body !== undefined) headers["content-type"] = "application/json";
    const response = await fetch(this.origin + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === "" || /max-age=0/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  // Another browser with the same cookies, as after someone copied them.
  copy() {
    const other = new Browser(0);
    other.origin = this.origin;
    other.cookies = new Map(this.cookies);
    return other;
  }
}

module.exports = { Browser };
