import CompactEncoding
import HyperCrypto
import Noise
import SansIO

/// How secret-streams over TCP are made.
public struct SecretStreamOptions: Hashable, Sendable {
    /// XX, or IK where the initiator knows the responder's key.
    public var pattern = HandshakePattern.xx
    /// An empty message whenever this long nothing was written; zero: never.
    public var keepAlive = Interval.zero
    /// Closed when this long nothing was received; zero: never.
    public var timeout = Interval.zero

    public init() {}
}

/// Secret-streams over TCP: one loop, any number of listeners and connections.
///
/// Unchecked: what is mutable belongs to the loop's thread.
public final class SecretStreamHost: LoopDriver, @unchecked Sendable {
    private let loop: EventLoop
    private var connections: [ObjectIdentifier: SecretStreamConnection] = [:]
    private var order: [SecretStreamConnection] = []
    private var listeners: [ObjectIdentifier: TCPListener] = [:]
    private var isOver = false

    public init() throws {
        loop = try EventLoop()
        loop.submit { self.loop.add(self) }
    }

    /// Waits for connections. Each is handed to `accept` before its handshake is done.
    public func listen(
        on address: Endpoint = .loopback(0), keyPair: KeyPair, options: SecretStreamOptions = SecretStreamOptions(),
        accept: @escaping @Sendable (SecretStreamConnection) -> Void
    ) async throws -> SecretStreamListener {
        try await loop.perform {
            guard !self.isOver else { throw EventLoopEnded() }
            let listener = try TCPListener(address, loop: self.loop) { socket in
                accept(self.add(socket, isInitiator: false, keyPair, nil, options))
            }
            self.listeners[ObjectIdentifier(listener)] = listener
            return SecretStreamListener(local: listener.local, publicKey: keyPair.publicKey, id: ObjectIdentifier(listener))
        }
    }

    /// Takes no more connections; those that exist live on.
    public func stop(_ listener: SecretStreamListener) async {
        _ = try? await loop.perform { self.listeners.removeValue(forKey: listener.id)?.stop() }
    }

    /// Connects; `info()` of the result waits for the handshake.
    public func connect(
        to address: Endpoint, keyPair: KeyPair, remotePublicKey: Bytes32? = nil, options: SecretStreamOptions = SecretStreamOptions()
    ) async throws -> SecretStreamConnection {
        try await loop.perform {
            guard !self.isOver else { throw EventLoopEnded() }
            let socket = try TCPSocket(to: address, loop: self.loop)
            return self.add(socket, isInitiator: true, keyPair, remotePublicKey, options)
        }
    }

    /// Destroys all connections, closes all listeners, ends the thread.
    public func close() async { await loop.stop() }

    private func add(
        _ socket: TCPSocket, isInitiator: Bool, _ keyPair: KeyPair, _ remote: Bytes32?, _ options: SecretStreamOptions
    ) -> SecretStreamConnection {
        let connection = SecretStreamConnection(
            socket: socket, isInitiator: isInitiator, keyPair: keyPair, remotePublicKey: remote, options: options, host: self, loop: loop)
        connections[ObjectIdentifier(connection)] = connection
        order.append(connection)
        return connection
    }

    func remove(_ connection: SecretStreamConnection) {
        if connections.removeValue(forKey: ObjectIdentifier(connection)) != nil { order.removeAll { $0 === connection } }
    }

    func turn(now: Instant) -> Instant { order.reduce(.distantFuture) { min($0, $1.advance(to: now)) } }

    func loopEnded() {
        isOver = true
        for listener in listeners.values { listener.stop() }
        listeners = [:]
        for connection in order { connection.loopEnded() }
    }
}

/// A TCP port that takes secret-streams.
public struct SecretStreamListener: Hashable, Sendable {
    public let local: Endpoint
    public let publicKey: Bytes32
    let id: ObjectIdentifier
}
