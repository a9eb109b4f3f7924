import SansIO

/// What the owner of a stream can ask of it. All name the stream by its local id and fail with `unknownStream` once it is closed.
extension UDXInstance {
    /// Tells the stream where its peer is. Sends nothing unless an ACK is owed. UDX-65, UDX-66.
    public func connect(_ id: StreamID, _ socket: SocketID, to remoteID: StreamID, at remote: Endpoint, now: Instant) throws(UDXError) {
        note(now)
        let stream = try live(id)
        guard !stream.isConnected else { throw UDXError(.alreadyConnected, id) }
        guard remote.port != 0 else { throw UDXError(.invalidAddress, id) }
        stream.connect(socket, remoteID, remote)
        sweep()
    }

    /// Queues bytes. Full packets leave at once, the rest at the end of the turn. UDX-68.
    ///
    /// - Returns: false when more should wait for `drained`.
    @discardableResult
    public func write(_ id: StreamID, _ bytes: [UInt8], now: Instant) throws(UDXError) -> Bool {
        note(now)
        let stream = try writable(id)
        defer { sweep() }
        return stream.write(bytes, ending: false)
    }

    /// Ends our direction, with a last write or without. END rides on the last byte if it is still here. UDX-54.
    @discardableResult
    public func end(_ id: StreamID, writing bytes: [UInt8] = [], now: Instant) throws(UDXError) -> Bool {
        note(now)
        let stream = try writable(id)
        defer { sweep() }
        return stream.write(bytes, ending: true)
    }

    /// Sends one unreliable message at once. Keep it within `StreamStatistics.mtu` less 48 (IPv4) or 68 (IPv6) bytes. UDX-70.
    public func send(_ id: StreamID, message: [UInt8], now: Instant) throws(UDXError) {
        note(now)
        let stream = try live(id)
        guard stream.isConnected else { throw UDXError(.notConnected, id) }
        stream.send(message: message)
    }

    private func writable(_ id: StreamID) throws(UDXError) -> Stream {
        let stream = try live(id)
        /// UDX-68.
        if Mutation.udx(68).isActive { return stream }
        guard stream.isConnected else { throw UDXError(.notConnected, id) }
        guard !stream.endRequested else { throw UDXError(.ended, id) }
        return stream
    }

    /// Closes the stream now; a connected one tells its peer with one DESTROY. What was not sent is dropped. UDX-61.
    public func destroy(_ id: StreamID, now: Instant) throws(UDXError) {
        note(now)
        try live(id).destroy()
        sweep()
    }

    /// Asks for a `flushed` event once all that was written so far is acknowledged.
    public func flush(_ id: StreamID, token: UInt64) throws(UDXError) {
        let stream = try live(id)
        stream.flushMarks.append((stream.bytesWritten, token))
        stream.settleWrites()
    }

    /// Moves the stream to another remote and socket. A change that is not complete is overtaken. UDX-72.
    ///
    /// - Returns: true when the change is complete already; otherwise `remoteChanged` follows. UDX-73a.
    @discardableResult
    public func changeRemote(
        _ id: StreamID, _ socket: SocketID, to remoteID: StreamID, at remote: Endpoint, now: Instant
    ) throws(UDXError) -> Bool {
        note(now)
        let stream = try live(id)
        guard stream.isConnected else { throw UDXError(.notConnected, id) }
        guard remote.port != 0 else { throw UDXError(.invalidAddress, id) }
        return stream.changeRemote(socket, remoteID, remote)
    }

    /// Forwards all that arrives for `id` to the remote of `target`, with only the id rewritten. A two-way relay is two of these. UDX-74.
    public func relay(_ id: StreamID, to target: StreamID) throws(UDXError) {
        let source = try live(id)
        let destination = try live(target)
        guard !source.hasRelayed, source !== destination else { throw UDXError(.relayRefused, id) }
        source.hasRelayed = true
        source.relayTarget = destination
        destination.relaySources.append(source)
    }

    /// Changes whose first packet a stream takes.
    public func setFirewall(_ id: StreamID, _ rule: FirewallRule) throws(UDXError) { try live(id).firewall = rule }

    /// A HEARTBEAT whenever nothing was outstanding for this long; 0 turns it off. UDX-71.
    public func setKeepalive(_ id: StreamID, milliseconds: Int64, now: Instant) throws(UDXError) {
        note(now)
        try live(id).setKeepalive(milliseconds)
    }

    /// How many delivered bytes the application has not consumed yet: they are taken off the advertised window. UDX-33.
    public func setHeldBytes(_ id: StreamID, _ count: Int, now: Instant) throws(UDXError) {
        note(now)
        let stream = try live(id)
        stream.heldBytes = UInt32(clamping: count)
        stream.announceReopenedWindow()
    }

    /// What the advertised window is counted down from. Bytes.
    public func setMaximumReceiveSize(_ id: StreamID, _ size: UInt32, now: Instant) throws(UDXError) {
        note(now)
        let stream = try live(id)
        stream.maximumReceiveSize = size
        stream.announceReopenedWindow()
    }
}

extension Stream {
    /// A sender that met a closed window would find out by its next probe only, seconds later. udx.md section 7 allows this ACK.
    fileprivate func announceReopenedWindow() {
        guard context.limits.announcesReopenedWindow, isConnected, lastAdvertisedWindow == 0, advertisedWindow > 0 else { return }
        acknowledge()
    }
}
