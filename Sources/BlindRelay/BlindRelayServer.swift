import CompactEncoding
import Protomux
import SansIO

/// The relay: joins two UDX streams whose owners know the same token. It never sees what they carry. protomux.md B4.
///
/// The owner gives it the events of each session's mux, creates and destroys the UDX streams that it asks for, and takes the muxes' effects.
public final class BlindRelayServer {
    /// Bounds where the reference has none; a well-behaved peer stays far below. RELAY-16.
    public struct Limits: Sendable {
        public var pendingPerSession = 64
        public var linksPerSession = 1024
        public var pendingTotal = 1 << 16
        /// A side that waits longer has given up (clients wait 15 s).
        public var pendingLifetime = Interval.seconds(60)

        public init() {}
    }

    public struct SessionID: Hashable, Comparable, Sendable {
        public let number: UInt64
        public static func < (a: SessionID, b: SessionID) -> Bool { a.number < b.number }
    }

    /// One end of a link.
    public struct Side: Hashable, Sendable {
        public let session: SessionID
        /// The peer's own stream id, from its pair message: where we send to. RELAY-6.
        public let remoteStreamID: UInt64
    }

    /// Two sides that have found each other.
    public struct Link: Hashable, Sendable {
        public let number: UInt64
        public let token: Bytes32
        public let initiator: Side
        public let responder: Side
    }

    public enum Event: Hashable, Sendable {
        /// Create two UDX streams, each waiting for its peer's first packet, forwarding to each other; then call `activate`.
        case matched(Link)
        /// Destroy this stream of ours.
        case destroyStream(UInt32)
        case sessionClosed(SessionID)
    }

    /// Pair messages that were refused, by reason.
    public struct Refused: Hashable, Sendable {
        public var roleTaken = 0
        public var limit = 0
        public var expired = 0
    }

    private struct Session {
        let mux: Protomux
        let channel: ChannelHandle
        var pending = 0
        var links: [UInt64] = []
    }

    private struct PendingPair {
        let token: Bytes32
        var initiator: Side?
        var responder: Side?
        let expiry: Instant

        var sessions: [SessionID] { [initiator, responder].compactMap { $0?.session } }
    }

    private struct ActiveLink {
        let link: Link
        var initiatorStream: UInt32?
        var responderStream: UInt32?
    }

    public let limits: Limits
    public private(set) var refused = Refused()
    private var sessions: [SessionID: Session] = [:]
    private var pending: [Bytes32: PendingPair] = [:]
    private var links: [UInt64: ActiveLink] = [:]
    /// Not later than the first expiry of a pending pair.
    private var earliestExpiry = Instant.distantFuture
    private var nextNumber: UInt64 = 1
    private var events: [Event] = []

    public init(limits: Limits = Limits()) { self.limits = limits }

    public var pendingCount: Int { pending.count }
    public var linkCount: Int { links.count }

    public func takeEvents() -> [Event] {
        defer { events.removeAll() }
        return events
    }

    // MARK: Sessions

    /// A client's connection: opens the channel under the client's key, without waiting for its open.
    public func accept(mux: Protomux, clientPublicKey: Bytes32) throws(ProtomuxError) -> SessionID {
        let channel = try mux.open(BlindRelay.options(clientPublicKey: clientPublicKey))
        let id = SessionID(number: nextNumber)
        nextNumber += 1
        sessions[id] = Session(mux: mux, channel: channel)
        return id
    }

    /// An event of a session's mux; false if it is not for the relay's channel.
    @discardableResult
    public func receive(_ event: Protomux.Event, from id: SessionID, at now: Instant) -> Bool {
        guard let session = sessions[id] else { return false }
        switch event {
        case .opened(session.channel, _): return true
        case .message(session.channel, let type, let payload):
            do {
                if type == Pair.type {
                    receive(try Pair(decoding: payload), from: id, at: now)
                } else {
                    receive(try Unpair(decoding: payload), from: id)
                }
            } catch { session.mux.fail(ProtomuxError(.undecodable, "\(error)")) }
            return true
        case .closed(session.channel, _):
            close(id)
            return true
        default: return false
        }
    }

    /// RELAY-8: what the session had pending vanishes, and its streams go. The other sides' streams stay until their sessions or streams
    /// end, as the reference has it: a peer that has moved to a direct path must not be torn down by it.
    private func close(_ id: SessionID) {
        guard let session = sessions[id] else { return }
        if !Mutation.blindRelay(8).isActive {
            for entry in pending.values.sorted(by: { $0.token < $1.token }) where entry.sessions.contains(id) { removePending(entry.token) }
        }
        for number in session.links {
            guard var active = links[number] else { continue }
            if active.link.initiator.session == id, let stream = active.initiatorStream {
                events.append(.destroyStream(stream))
                active.initiatorStream = nil
            }
            if active.link.responder.session == id, let stream = active.responderStream {
                events.append(.destroyStream(stream))
                active.responderStream = nil
            }
            links[number] = active.initiatorStream == nil && active.responderStream == nil ? nil : active
        }
        sessions[id] = nil
        events.append(.sessionClosed(id))
    }

    // MARK: Pairing

    private func receive(_ pair: Pair, from id: SessionID, at now: Instant) {
        expire(now)
        let side = Side(session: id, remoteStreamID: pair.streamID)
        var entry = pending[pair.token] ?? PendingPair(token: pair.token, expiry: now + limits.pendingLifetime)
        let isNew = pending[pair.token] == nil
        // RELAY-4: the first to come in a role keeps it.
        guard (pair.isInitiator ? entry.initiator : entry.responder) == nil || Mutation.blindRelay(4).isActive else {
            refused.roleTaken += 1
            return
        }
        guard hasRoom(id, isNew) else {
            refused.limit += 1
            return
        }
        if pair.isInitiator { entry.initiator = side } else { entry.responder = side }
        pending[pair.token] = entry
        earliestExpiry = min(earliestExpiry, entry.expiry)
        sessions[id]?.pending += 1
        guard let initiator = entry.initiator, let responder = entry.responder else { return }
        removePending(pair.token)
        // RELAY-6.
        let isCrossed = Mutation.blindRelay(6).isActive
        let link = Link(
            number: nextNumber, token: pair.token,
            initiator: Side(session: initiator.session, remoteStreamID: (isCrossed ? responder : initiator).remoteStreamID),
            responder: Side(session: responder.session, remoteStreamID: (isCrossed ? initiator : responder).remoteStreamID))
        nextNumber += 1
        links[link.number] = ActiveLink(link: link)
        sessions[initiator.session]?.links.append(link.number)
        if responder.session != initiator.session { sessions[responder.session]?.links.append(link.number) }
        events.append(.matched(link))
    }

    private func hasRoom(_ id: SessionID, _ isNew: Bool) -> Bool {
        if Mutation.blindRelay(16).isActive { return true }
        guard let session = sessions[id] else { return false }
        return session.pending < limits.pendingPerSession && session.links.count < limits.linksPerSession
            && (!isNew || pending.count < limits.pendingTotal)
    }

    /// The owner made the streams of a match. Each side hears its own role, the token and the id to send to. RELAY-3.
    public func activate(_ link: Link, initiatorStream: UInt32, responderStream: UInt32) {
        guard var active = links[link.number] else {
            // The match was undone meanwhile.
            events.append(.destroyStream(initiatorStream))
            events.append(.destroyStream(responderStream))
            return
        }
        active.initiatorStream = initiatorStream
        active.responderStream = responderStream
        links[link.number] = active
        tell(link.responder.session, Pair(isInitiator: false, token: link.token, streamID: UInt64(responderStream)))
        tell(link.initiator.session, Pair(isInitiator: true, token: link.token, streamID: UInt64(initiatorStream)))
    }

    private func tell(_ id: SessionID, _ pair: Pair) {
        guard let session = sessions[id] else { return }
        var pair = pair
        if Mutation.blindRelay(3).isActive { pair.isInitiator.toggle() }
        _ = try? session.mux.send(session.channel, type: Pair.type, pair.encoded)
    }

    /// One of our streams of a link has closed by itself.
    public func streamClosed(_ stream: UInt32) {
        for active in links.values where active.initiatorStream == stream || active.responderStream == stream {
            var left = active
            if left.initiatorStream == stream { left.initiatorStream = nil } else { left.responderStream = nil }
            links[left.link.number] = left.initiatorStream == nil && left.responderStream == nil ? nil : left
            if links[left.link.number] == nil { forget(left.link) }
            return
        }
    }

    // MARK: Unpairing

    private func receive(_ unpair: Unpair, from id: SessionID) {
        if pending[unpair.token] != nil {
            // RELAY-5: for everyone.
            if !Mutation.blindRelay(5).isActive { removePending(unpair.token) }
            return
        }
        // RELAY-7: both streams of this session's link.
        guard let number = sessions[id]?.links.first(where: { links[$0]?.link.token == unpair.token }), let active = links[number] else {
            return
        }
        if let stream = active.initiatorStream { events.append(.destroyStream(stream)) }
        if let stream = active.responderStream, !Mutation.blindRelay(7).isActive { events.append(.destroyStream(stream)) }
        links[number] = nil
        forget(active.link)
    }

    private func forget(_ link: Link) {
        sessions[link.initiator.session]?.links.removeAll { $0 == link.number }
        sessions[link.responder.session]?.links.removeAll { $0 == link.number }
    }

    private func removePending(_ token: Bytes32) {
        guard let entry = pending.removeValue(forKey: token) else { return }
        for session in entry.sessions { sessions[session]?.pending -= 1 }
    }

    // MARK: Time

    public var nextWakeUp: Instant { earliestExpiry }

    public func advance(to now: Instant) { expire(now) }

    private func expire(_ now: Instant) {
        guard now >= earliestExpiry else { return }
        defer { earliestExpiry = pending.values.map(\.expiry).min() ?? .distantFuture }
        for entry in pending.values where entry.expiry <= now {
            removePending(entry.token)
            refused.expired += 1
        }
    }
}
