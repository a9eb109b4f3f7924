import CompactEncoding
import HyperCrypto
import Protomux

/// One channel of a multiplexer.
public final class MuxChannel: Sendable {
    /// One message of one of the channel's types.
    public struct Message: Hashable, Sendable {
        /// The type's number, from 0; both sides count them alike.
        public let type: UInt64
        public let payload: [UInt8]

        public init(type: UInt64 = 0, payload: [UInt8]) {
            self.type = type
            self.payload = payload
        }
    }

    let handle: ChannelHandle
    /// Protocol name and id.
    public let key: ChannelKey
    /// nil once the channel is closed: a multiplexer holds its channels, and would never go if they held it for good.
    private let mux: Locked<Multiplexer?>
    /// What the other side sends, in order.
    public var messages: Arrivals<Message> { received.arrivals }
    private let received: Mailbox<Message>
    private let held: HeldMessages.Share
    private let expected: Bytes32?
    private let opening = Promise<[UInt8]?>()
    private let isRefused = Locked(false)
    private let closing = Promise<Bool>()

    init(handle: ChannelHandle, key: ChannelKey, mux: Multiplexer, expected: Bytes32?, held: HeldMessages) {
        self.handle = handle
        self.key = key
        self.mux = Locked(mux)
        self.expected = expected
        let share = held.share()
        self.held = share
        received = Mailbox { share.give($0.payload.count) }
    }

    /// Waits for the other side; its handshake, or nil if the channel closed before. Of a guarded channel: returns only once the other side has proven that it
    /// knows the secret, and throws `CAPABILITY_REFUSED` if it has not, or `StreamClosed` if the connection ended before.
    public func opened() async throws -> [UInt8]? {
        let handshake = try await opening.value()
        guard expected != nil, handshake == nil else { return handshake }
        if isRefused.withLock({ $0 }) { throw Capability.refused }
        throw StreamClosed()
    }

    /// Waits for the end: whether the other side closed or refused it.
    public func closed() async throws -> Bool { try await closing.value() }

    /// Waits until the connection has room, then sends a message.
    public func send(type: UInt64 = 0, _ payload: [UInt8]) async throws {
        try await carrier().room()
        try sendNow(type: type, payload)
    }

    /// Sends a message without waiting.
    public func sendNow(type: UInt64 = 0, _ payload: [UInt8]) throws {
        if expected != nil, (opening.current ?? nil) == nil {
            throw StreamFailure(code: "CAPABILITY_PENDING", message: "the peer has not proven yet that it is a member: wait for opened()")
        }
        try carrier().send(handle, type: type, payload)
    }

    /// Closes the channel on both sides. Others on the same connection go on.
    public func close() { mux.withLock(\.self)?.close(handle) }

    private func carrier() throws -> Multiplexer {
        guard let mux = mux.withLock(\.self) else { throw StreamClosed() }
        return mux
    }

    // MARK: For the multiplexer

    func admits(_ handshake: [UInt8]) -> Bool { expected.map { Sodium.equal(handshake, $0.bytes) } ?? true }

    func didOpen(_ handshake: [UInt8]) { opening.fulfil(handshake) }

    func didReceive(_ message: Message) {
        held.take(message.payload.count)
        received.yield(message)
    }

    func didClose(_ byRemote: Bool, isRefused refused: Bool) {
        isRefused.withLock { $0 = refused }
        opening.fulfil(nil)
        closing.fulfil(byRemote)
        held.close()
        received.finish()
        let carrier = mux.withLock { mux in
            defer { mux = nil }
            return mux
        }
        // It goes outside the lock, if it goes.
        withExtendedLifetime(carrier) {}
    }
}
