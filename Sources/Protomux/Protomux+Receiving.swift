import CompactEncoding
import SansIO

extension Protomux {
    /// One whole message of the carrier.
    public func receive(_ bytes: [UInt8]) {
        guard !isEnded else { return }
        var reader = Reader(bytes)
        // One item is held back: only then it shows whether others follow.
        var held: MuxItem?
        var count = 0
        do {
            let form = try MuxMessage.read(&reader) { item in
                count += 1
                if count > limits.batchItems { fail(ProtomuxError(.limitExceeded, "items of a batch")) }
                // What several items make us answer goes back as a batch, as the reference does it.
                if count == 2 { cork() }
                if let before = held, !isEnded { receive(before) }
                held = item
                return !isEnded
            }
            if form == .empty { ignored.empty += 1 }
            // MUX-15b.
            if form == .batch, count == 1, Mutation.protomux(15, 2).isActive { return }
            if let held, !isEnded { receive(held) }
        } catch {
            // What comes before the damage was said as if it had come alone.
            if let held, !isEnded { receive(held) }
            fail(ProtomuxError(.undecodable, "\(error)"))
        }
        if count > 1 { uncork() }
    }

    private func receive(_ item: MuxItem) {
        switch item {
        case .data(let channel, let type, let payload): receiveData(channel, type, payload)
        case .open(let open): receiveOpen(open)
        case .reject(let id): receiveReject(id)
        case .close(let id): receiveClose(id)
        case .unknownControl: ignored.unknownControl += 1
        }
    }

    private func remoteSlot(_ id: UInt64) -> RemoteSlot {
        guard id >= 1, id <= UInt64(remote.count) else { return .free }
        return remote[Int(id - 1)]
    }

    private func receiveData(_ id: UInt64, _ type: UInt64, _ payload: [UInt8]) {
        switch remoteSlot(id) {
        case .channel(let handle): deliver(handle, type, payload)
        case .pending(var pending):
            if Mutation.protomux(4).isActive { return }
            // Taken out while it grows, so that its messages are not copied each time.
            remote[Int(id - 1)] = .free
            pending.messages.append((type, payload))
            pending.bufferedBytes += 512 + payload.count
            bufferedBytes += 512 + payload.count
            remote[Int(id - 1)] = .pending(pending)
            updatePause()
        case .free, .orphan: ignored.unknownChannel += 1
        }
    }

    private func deliver(_ handle: ChannelHandle, _ type: UInt64, _ payload: [UInt8]) {
        guard let channel = channels[handle] else { return }
        guard type < UInt64(max(0, channel.options.messageCount)) else {
            ignored.unknownType += 1
            // MUX-9.
            if Mutation.protomux(9).isActive { fail(ProtomuxError(.undecodable, "message type \(type)")) }
            return
        }
        events.append(.message(handle, type: type, payload: payload))
    }

    // MARK: Opens

    private func receiveOpen(_ open: OpenMessage) {
        // MUX-22.
        if open.localID == 0, Mutation.protomux(22).isActive { return }
        guard open.localID >= 1, open.protocolName.utf8.count + open.channelID.count <= limits.keyLength else {
            return fail(ProtomuxError(.invalidOpen, "id \(open.localID)"))
        }
        // MUX-10: a free slot, or exactly the next.
        if Mutation.protomux(10).isActive {
            while UInt64(remote.count) + 1 < open.localID, remote.count < 4096 { remote.append(.free) }
        }
        if open.localID == UInt64(remote.count) + 1 {
            guard remote.count < limits.remoteChannels else { return fail(ProtomuxError(.limitExceeded, "channels")) }
            remote.append(.free)
        }
        guard open.localID <= UInt64(remote.count) else { return fail(ProtomuxError(.invalidOpen, "id \(open.localID)")) }
        switch remoteSlot(open.localID) {
        case .free, .orphan: break
        case .pending, .channel:
            if Mutation.protomux(10).isActive { return }
            return fail(ProtomuxError(.invalidOpen, "id \(open.localID) is in use"))
        }
        var key = ChannelKey(open.protocolName, id: open.channelID)
        // MUX-3, MUX-24.
        if Mutation.protomux(3).isActive { key = firstOutgoingKey(open.protocolName) ?? key }
        if open.channelID.isEmpty, Mutation.protomux(24).isActive { key = ChannelKey(open.protocolName, id: [0]) }
        if let localID = firstOutgoing(key) { return answerOutgoing(localID, open) }
        keepPending(open, key)
    }

    /// MUX-17, MUX-18: the first of our opens with this key.
    private func firstOutgoing(_ key: ChannelKey) -> UInt64? {
        if Mutation.protomux(17).isActive { return outgoing.values.compactMap(\.first).min() }
        return Mutation.protomux(18).isActive ? outgoing[key]?.last : outgoing[key]?.first
    }

    private func firstOutgoingKey(_ name: String) -> ChannelKey? {
        outgoing.keys.filter { $0.protocolName == name }.min { $0.id.lexicographicallyPrecedes($1.id) }
    }

    private func answerOutgoing(_ localID: UInt64, _ open: OpenMessage) {
        switch local[Int(localID - 1)] {
        case .channel(let handle):
            guard let channel = channels[handle] else { return }
            forget(localID, channel.options.keys)
            pair(handle, open.localID, open.handshake, [])
        case .closedUnpaired(let keys):
            forget(localID, keys)
            local[Int(localID - 1)] = .retired
            remote[Int(open.localID - 1)] = .orphan(localID: localID)
        case .free, .retired: break
        }
    }

    private func keepPending(_ open: OpenMessage, _ key: ChannelKey) {
        // MUX-19: the exact key, else the protocol as a whole.
        let isWanted =
            listeners.contains(key) || listeners.contains(ChannelKey(key.protocolName)) && !Mutation.protomux(19).isActive
        var request: OpenRequest?
        if isWanted, pendingCount < limits.pendingOpens {
            request = OpenRequest(number: nextNumber, key: key)
            nextNumber += 1
        }
        remote[Int(open.localID - 1)] = .pending(PendingOpen(key: key, request: request, handshake: open.handshake))
        pendingCount += 1
        incoming[key, default: []].append(open.localID)
        if let request {
            openRequests.insert(request.number)
            outstanding[key, default: 0] += 1
            events.append(.requested(request))
        } else if pendingCount > limits.pendingOpens {
            rejectPending(open.localID)
        } else if outstanding[key] == nil {
            rejectPending(key)
        }
    }

    // MARK: Pending opens

    func firstPending(_ keys: [ChannelKey]) -> UInt64? { keys.lazy.compactMap { self.incoming[$0]?.first }.first }

    /// Takes a pending open off the books.
    private func removePending(_ remoteID: UInt64) -> PendingOpen? {
        guard case .pending(let pending) = remoteSlot(remoteID) else { return nil }
        let rest = (incoming[pending.key] ?? []).filter { $0 != remoteID }
        incoming[pending.key] = rest.isEmpty ? nil : rest
        remote[Int(remoteID - 1)] = .free
        pendingCount -= 1
        bufferedBytes -= pending.bufferedBytes
        return pending
    }

    func pairPending(_ handle: ChannelHandle, _ remoteID: UInt64) {
        guard let pending = removePending(remoteID) else { return }
        pair(handle, remoteID, pending.handshake, pending.messages)
        updatePause()
    }

    /// The handshake is decoded before any data is delivered. MUX-2, MUX-4, MUX-27.
    private func pair(_ handle: ChannelHandle, _ remoteID: UInt64, _ handshake: [UInt8], _ messages: [(type: UInt64, payload: [UInt8])]) {
        guard var channel = channels[handle] else { return }
        channel.remoteID = remoteID
        channels[handle] = channel
        remote[Int(remoteID - 1)] = .channel(handle)
        if let type = channel.options.handshakeType, !Mutation.protomux(27).isActive {
            do { _ = try type.init(decoding: handshake) } catch { return fail(ProtomuxError(.invalidHandshake, "\(error)")) }
        }
        events.append(.opened(handle, handshake: handshake))
        if Mutation.protomux(2).isActive { events.append(.opened(handle, handshake: handshake)) }
        for message in messages where !isEnded { deliver(handle, message.type, message.payload) }
    }

    func rejectPending(_ key: ChannelKey) {
        for remoteID in incoming[key] ?? [] { rejectPending(remoteID) }
    }

    private func rejectPending(_ remoteID: UInt64) {
        guard let pending = removePending(remoteID) else { return }
        if refused.count == 64 { refused.removeFirst() }
        refused.append(pending.key)
        // MUX-5.
        if !Mutation.protomux(5).isActive { sendControl(.reject(remoteID)) }
        updatePause()
    }

    /// MUX-20.
    private func updatePause() {
        if !isPaused, bufferedBytes > limits.pauseAbove, !Mutation.protomux(20).isActive {
            isPaused = true
            effects.append(.pause)
        } else if isPaused, bufferedBytes <= limits.pauseAbove {
            isPaused = false
            effects.append(.resume)
        }
    }

    // MARK: Answers and ends

    private func receiveReject(_ id: UInt64) {
        guard id >= 1, id <= UInt64(local.count) else { return invalidReject(id) }
        switch local[Int(id - 1)] {
        case .channel(let handle):
            guard let channel = channels[handle], channel.remoteID == nil else { return invalidReject(id) }
            forget(id, channel.options.keys)
            release(id)
            drop(channel, byRemote: true)
        case .closedUnpaired(let keys):
            forget(id, keys)
            release(id)
        case .free, .retired: invalidReject(id)
        }
    }

    private func invalidReject(_ id: UInt64) {
        // MUX-11.
        if Mutation.protomux(11).isActive { return }
        fail(ProtomuxError(.invalidReject, "id \(id)"))
    }

    private func receiveClose(_ id: UInt64) {
        switch remoteSlot(id) {
        case .channel(let handle):
            guard let channel = channels[handle] else { return }
            // MUX-8: the peer may use its id again.
            if !Mutation.protomux(8).isActive { remote[Int(id - 1)] = .free }
            if Mutation.protomux(7).isActive { sendControl(.close(channel.localID)) }
            release(channel.localID)
            drop(channel, byRemote: true)
        case .pending(let pending):
            // MUX-21b: whoever closed early must not be paired later; the reject frees its id.
            if Mutation.protomux(21, 2).isActive { return }
            rejectPending(id)
            if let request = pending.request, openRequests.contains(request.number) {
                events.append(.withdrawn(request))
                // Nobody need answer it any more: other opens of its key must not wait for that.
                finish(request)
            }
        case .orphan(let localID):
            remote[Int(id - 1)] = .free
            if case .retired = local[Int(localID - 1)] { release(localID) }
        case .free:
            // MUX-26: closes may cross.
            if Mutation.protomux(26).isActive { fail(ProtomuxError(.undecodable, "close of \(id)")) }
        }
    }

    /// The carrier's end: there is no half-open mux. MUX-25.
    public func receiveEnd() {
        guard !isEnded else { return }
        if !Mutation.protomux(25).isActive { effects.append(.end) }
        shutDown(nil)
    }

    /// The carrier is gone.
    public func carrierClosed() { if !isEnded { shutDown(nil) } }

    /// A failure here or in a handler: the carrier is destroyed.
    public func fail(_ error: ProtomuxError) {
        guard !isEnded else { return }
        effects.append(.destroy(error))
        shutDown(error)
    }

    private func shutDown(_ error: ProtomuxError?) {
        isEnded = true
        for channel in channels.values.sorted(by: { $0.localID < $1.localID }) { drop(channel, byRemote: true) }
        local = []
        remote = []
        incoming = [:]
        outgoing = [:]
        batch = []
        events.append(.ended(error))
    }
}
