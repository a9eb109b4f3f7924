import CompactEncoding
import Protomux
import SansIO

/// The side that wants to be relayed: a channel to the relay, and the tokens that wait for an answer. protomux.md B5.
///
/// It speaks through the `Protomux` of the relay connection; the owner gives it that mux's events and takes the mux's effects.
public final class BlindRelayClient {
    public enum Event: Hashable, Sendable {
        /// Connect the stream to the relay's address, with this remote id.
        case paired(token: Bytes32, isInitiator: Bool, remoteStreamID: UInt64)
        case failed(token: Bytes32, PairingFailure)
        /// The channel is gone.
        case closed
    }

    public enum PairingFailure: String, Hashable, Sendable {
        case timedOut, cancelled, channelClosed
    }

    private struct Request {
        let token: Bytes32
        let isInitiator: Bool
        let deadline: Instant
    }

    public let mux: Protomux
    public let channel: ChannelHandle
    /// Pair answers that nothing here waits for: unknown token, or wrong role. RELAY-9.
    public private(set) var ignoredAnswers = 0
    public private(set) var isClosed = false
    private let timeout: Interval
    private var requests: [Request] = []
    private var events: [Event] = []
    private var isEnding = false

    /// Opens the channel; `publicKey` is ours on this connection. RELAY-1.
    public init(
        mux: Protomux, publicKey: Bytes32, pairingTimeout: Interval = BlindRelay.pairingTimeout
    ) throws(ProtomuxError) {
        self.mux = mux
        timeout = pairingTimeout
        channel = try mux.open(BlindRelay.options(clientPublicKey: publicKey))
    }

    public func takeEvents() -> [Event] {
        defer { events.removeAll() }
        return events
    }

    public var pendingTokens: [Bytes32] { requests.map(\.token) }

    /// Asks to be paired; `streamID` is our UDX stream's, which is not connected yet. False if the token is in use or the channel closed.
    @discardableResult
    public func pair(isInitiator: Bool, token: Bytes32, streamID: UInt32, at now: Instant) -> Bool {
        guard !isClosed, !requests.contains(where: { $0.token == token }) else { return false }
        requests.append(Request(token: token, isInitiator: isInitiator, deadline: now + timeout))
        let message = Pair(isInitiator: isInitiator, token: token, streamID: UInt64(streamID))
        let isSent = (try? mux.send(channel, type: Pair.type, message.encoded)) ?? false
        // The mux has ended, and its last event is on the way: what was refused here must not fail once more.
        if !isSent { _ = remove(token) }
        return isSent
    }

    /// Withdraws a request, or takes an active link down.
    public func unpair(_ token: Bytes32) {
        guard !isClosed else { return }
        if remove(token) != nil { events.append(.failed(token: token, .cancelled)) }
        _ = try? mux.send(channel, type: Unpair.type, Unpair(token: token).encoded)
        closeIfDone()
    }

    /// Closes the channel once no request waits.
    public func end() {
        isEnding = true
        closeIfDone()
    }

    /// An event of the mux; false if it is not for this channel.
    @discardableResult
    public func receive(_ event: Protomux.Event) -> Bool {
        switch event {
        case .opened(channel, _): return true
        case .message(channel, let type, let payload):
            receive(type, payload)
            return true
        case .closed(channel, _):
            close()
            return true
        default: return false
        }
    }

    private func receive(_ type: UInt64, _ payload: [UInt8]) {
        guard type == Pair.type else { return }
        let pair: Pair
        do { pair = try Pair(decoding: payload) } catch { return mux.fail(ProtomuxError(.undecodable, "\(error)")) }
        let ignoresRole = Mutation.blindRelay(9).isActive
        guard let request = requests.first(where: { $0.token == pair.token }), request.isInitiator == pair.isInitiator || ignoresRole else {
            ignoredAnswers += 1
            return
        }
        _ = remove(pair.token)
        events.append(.paired(token: pair.token, isInitiator: pair.isInitiator, remoteStreamID: pair.streamID))
        closeIfDone()
    }

    private func remove(_ token: Bytes32) -> Request? {
        guard let index = requests.firstIndex(where: { $0.token == token }) else { return nil }
        return requests.remove(at: index)
    }

    private func closeIfDone() {
        guard isEnding, requests.isEmpty, !isClosed else { return }
        mux.close(channel)
        close()
    }

    private func close() {
        guard !isClosed else { return }
        isClosed = true
        for request in requests { events.append(.failed(token: request.token, .channelClosed)) }
        requests = []
        events.append(.closed)
    }

    // MARK: Time

    public var nextWakeUp: Instant { requests.map(\.deadline).min() ?? .distantFuture }

    /// RELAY-10: without an answer in time the relay is given up.
    public func advance(to now: Instant) {
        if Mutation.blindRelay(10).isActive { return }
        for request in requests where request.deadline <= now {
            _ = remove(request.token)
            events.append(.failed(token: request.token, .timedOut))
        }
        closeIfDone()
    }
}
