import BlindRelay
import CompactEncoding
import Protomux
import SansIO

/// A relay with clients, joined by muxes. UDX streams are numbers.
final class RelayWorld {
    struct Connection {
        let name: String
        let clientMux: Protomux
        let serverMux: Protomux
        let session: BlindRelayServer.SessionID
        /// nil for a scripted client that speaks through `clientMux` itself.
        let client: BlindRelayClient?
    }

    let server: BlindRelayServer
    private(set) var connections: [Connection] = []
    private(set) var frames: [(from: String, bytes: [UInt8])] = []
    private(set) var serverEvents: [BlindRelayServer.Event] = []
    private(set) var clientEvents: [String: [BlindRelayClient.Event]] = [:]
    private(set) var scriptedEvents: [String: [Protomux.Event]] = [:]
    /// Streams that the relay has now.
    private(set) var streams: [UInt32] = []
    private var nextStream: UInt32 = 9000
    var now = Instant.zero

    init(limits: BlindRelayServer.Limits = BlindRelayServer.Limits()) { server = BlindRelayServer(limits: limits) }

    static func key(_ byte: UInt8) -> Bytes32 { Bytes32([UInt8](repeating: byte, count: 32)) ?? .zero }

    @discardableResult
    func connect(_ name: String, key: Bytes32, isScripted: Bool = false) throws -> Connection {
        let clientMux = Protomux()
        let client = isScripted ? nil : try BlindRelayClient(mux: clientMux, publicKey: key)
        return try connect(name, key: key, clientMux: clientMux, client: client)
    }

    func connect(_ name: String, key: Bytes32, clientMux: Protomux, client: BlindRelayClient?) throws -> Connection {
        let serverMux = Protomux()
        let connection = Connection(
            name: name, clientMux: clientMux, serverMux: serverMux,
            session: try server.accept(mux: serverMux, clientPublicKey: key), client: client)
        connections.append(connection)
        return connection
    }

    /// Carries everything until all is quiet.
    func pump() {
        var isBusy = true
        while isBusy {
            isBusy = false
            for connection in connections {
                if carry(connection.name, connection.clientMux, connection.serverMux) { isBusy = true }
                if carryFromServer(connection) { isBusy = true }
                drain(connection)
            }
            for event in server.takeEvents() {
                isBusy = true
                serverEvents.append(event)
                switch event {
                case .matched(let link):
                    let responder = makeStream()
                    server.activate(link, initiatorStream: makeStream(), responderStream: responder)
                    // Two connections: the order in which the relay wrote is kept.
                    for session in [link.responder.session, link.initiator.session] {
                        for connection in connections where connection.session == session { _ = carryFromServer(connection) }
                    }
                case .destroyStream(let stream): streams.removeAll { $0 == stream }
                case .sessionClosed: break
                }
            }
        }
    }

    private func carryFromServer(_ connection: Connection) -> Bool {
        carry(connection.name.replacing("client", with: "server"), connection.serverMux, connection.clientMux)
    }

    private func carry(_ from: String, _ mux: Protomux, _ other: Protomux) -> Bool {
        let effects = mux.takeEffects()
        for effect in effects {
            switch effect {
            case .send(let bytes):
                frames.append((from, bytes))
                other.receive(bytes)
            case .end, .destroy: other.receiveEnd()
            case .pause, .resume: break
            }
        }
        return !effects.isEmpty
    }

    private func drain(_ connection: Connection) {
        for event in connection.serverMux.takeEvents() { server.receive(event, from: connection.session, at: now) }
        let events = connection.clientMux.takeEvents()
        if let client = connection.client {
            for event in events { client.receive(event) }
            clientEvents[connection.name, default: []] += client.takeEvents()
        } else {
            scriptedEvents[connection.name, default: []] += events
        }
    }

    private func makeStream() -> UInt32 {
        defer { nextStream += 1 }
        streams.append(nextStream)
        return nextStream
    }

    /// Events of one client since the last call.
    func take(_ name: String) -> [BlindRelayClient.Event] {
        pump()
        defer { clientEvents[name] = [] }
        return clientEvents[name] ?? []
    }

    func takeFrames() -> [(from: String, bytes: [UInt8])] {
        pump()
        defer { frames = [] }
        return frames
    }
}
