import SansIO

/// Where a node begins. dht-rpc.md section 12.
///
/// "host:port", "suggestedIP@host:port", or a bare port (127.0.0.1).
public struct BootstrapEntry: Hashable, Sendable, CustomStringConvertible {
    /// An address to try before the name is looked up.
    public var suggested: IPAddress?
    /// An address in text, or a name that the driver resolves.
    public var host: String
    public var port: UInt16

    public init(_ endpoint: Endpoint) {
        suggested = nil
        host = endpoint.address.description
        port = endpoint.port
    }

    private init(suggested: IPAddress?, host: String, port: UInt16) {
        self.suggested = suggested
        self.host = host
        self.port = port
    }

    /// nil for anything but the three forms.
    public init?(_ text: String) {
        if let port = UInt16(text) {
            self.init(Endpoint.loopback(port))
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        let name = text[..<colon]
        guard let at = name.firstIndex(of: "@") else {
            if name.isEmpty { return nil }
            self.init(suggested: nil, host: String(name), port: port)
            return
        }
        let fallback = String(name[name.index(after: at)...])
        guard let suggested = IPAddress(name[..<at]), suggested.isIPv4, !fallback.isEmpty else { return nil }
        self.init(suggested: suggested, host: fallback, port: port)
    }

    /// The endpoint if the host is an IPv4 address in text and needs no look-up.
    public var endpoint: Endpoint? {
        guard suggested == nil, let address = IPAddress(host), address.isIPv4 else { return nil }
        return Endpoint(address, port)
    }

    public var description: String { (suggested.map { "\($0)@" } ?? "") + "\(host):\(port)" }
}
