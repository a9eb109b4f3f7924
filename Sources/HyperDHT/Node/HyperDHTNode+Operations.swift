import CompactEncoding
import DHTRPC
import HyperCrypto
import SansIO

/// Lookups, announces, puts and gets. hyperdht.md sections 3.9 and 4.
extension HyperDHTNode {
    /// PING. Ends with `.pong` or `.failed`.
    @discardableResult
    public func ping(_ destination: Endpoint, retries: Int? = nil) -> OperationID {
        let operation = newOperation(.ping, .zero)
        guard begins(operation) else { return operation.id }
        operation.request = ping(destination, retries: retries, for: .ping(operation.id))
        settle()
        return operation.id
    }

    /// Searches for records of a topic. Each replier's records come as `.reply`; ends with `.done`.
    @discardableResult
    public func lookup(_ target: Bytes32, nodes: [Endpoint] = []) -> OperationID {
        search(newOperation(.lookup, target), .lookup, nodes: nodes)
    }

    /// Searches for nodes that know how to reach this key.
    @discardableResult
    public func findPeer(_ publicKey: Bytes32, nodes: [Endpoint] = []) -> OperationID {
        search(newOperation(.findPeer, Blake2b.hash256(publicKey.bytes)), .findPeer, nodes: nodes)
    }

    /// Announces the signer's key under a topic at the closest nodes. Ends with `.done`; repliers' records come as `.reply`.
    @discardableResult
    public func announce(
        _ target: Bytes32, signer: Signer, relayAddresses: [Endpoint] = [], options: AnnounceOptions = AnnounceOptions()
    ) -> OperationID {
        let record = PeerRecord(publicKey: signer.publicKey, relayAddresses: relayAddresses)
        let operation = newOperation(.announce(signer, record: record, options: options), target)
        if options.clears { forgetOwnRecord(target, signer.publicKey) }
        return search(operation, .lookup, commits: true, nodes: options.nodes)
    }

    /// Takes back the signer's record under a topic, where the search meets it.
    @discardableResult
    public func unannounce(_ target: Bytes32, signer: Signer) -> OperationID {
        forgetOwnRecord(target, signer.publicKey)
        return search(newOperation(.announce(signer, record: nil, options: AnnounceOptions()), target), .lookup)
    }

    private func forgetOwnRecord(_ target: Bytes32, _ publicKey: Bytes32) {
        store?.forget(target: target, publicKey: publicKey, router: &routes)
    }

    /// Finds a value by its hash. Ends with `.immutable`.
    @discardableResult
    public func immutableGet(_ target: Bytes32) -> OperationID { search(newOperation(.immutableGet, target), .immutableGet) }

    /// Stores a value under its hash. Ends with `.stored`.
    @discardableResult
    public func immutablePut(_ value: [UInt8]) -> OperationID {
        search(newOperation(.immutablePut(value), Blake2b.hash256(value)), .immutableGet, commits: true)
    }

    /// Finds the record of a key. Ends with `.mutable`.
    @discardableResult
    public func mutableGet(_ publicKey: Bytes32, options: MutableGetOptions = MutableGetOptions()) -> OperationID {
        let operation = newOperation(.mutableGet(publicKey: publicKey, options), Blake2b.hash256(publicKey.bytes))
        return search(operation, .mutableGet, value: MutableGetRequest(seq: options.seq).encoded, commits: options.refreshes)
    }

    /// Stores a record under a key. Ends with `.stored`.
    @discardableResult
    public func mutablePut(_ keyPair: KeyPair, seq: UInt64, value: [UInt8]) -> OperationID {
        let signature = RecordSignature.signMutable(seq: seq, value: value, keyPair: keyPair)
        return mutablePut(MutablePutRequest(publicKey: keyPair.publicKey, seq: seq, value: value, signature: signature))
    }

    /// Stores a record that was signed elsewhere (see `RecordSignature.mutableSignable`).
    @discardableResult
    public func mutablePut(_ record: MutablePutRequest) -> OperationID {
        search(
            newOperation(.mutablePut(record), Blake2b.hash256(record.publicKey.bytes)), .mutableGet,
            value: MutableGetRequest(seq: 0).encoded, commits: true)
    }

    /// Ends an operation without a `finished` event.
    public func cancel(_ id: OperationID) {
        guard let operation = operations.removeValue(forKey: id) else { return }
        if let query = operation.query { cancel(query) }
        if let request = operation.request { cancel(request) }
        settle()
    }

    // MARK: Start

    func newOperation(_ kind: Operation.Kind, _ target: Bytes32) -> Operation {
        Operation(id: OperationID(number: takeNumber()), kind: kind, target: target)
    }

    func begins(_ operation: Operation) -> Bool {
        if operations.count >= config.limits.operations {
            events.append(.finished(operation.id, .failed(.tooMany)))
            return false
        }
        if life == .destroyed || life == .closing {
            events.append(.finished(operation.id, .failed(.nodeDestroyed)))
            return false
        }
        operations[operation.id] = operation
        return true
    }

    private func search(
        _ operation: Operation, _ command: HyperDHTCommand, value: [UInt8]? = nil, commits: Bool = false, nodes: [Endpoint] = []
    ) -> OperationID {
        guard begins(operation) else { return operation.id }
        var options = QueryOptions()
        options.value = value
        options.nodes = nodes
        options.commit = commits ? .byOwner : .none
        let query = rpc.query(target: operation.target, command: command.rawValue, options: options)
        operation.query = query
        queries[query] = .operation(operation.id)
        settle()
        return operation.id
    }

    // MARK: Replies

    func pinged(_ id: OperationID, _ response: ReceivedResponse) {
        if case .raw? = operations[id]?.kind { return finish(id, .response(response)) }
        finish(id, .pong(from: response.from, to: response.to, nodeID: response.id, roundTrip: response.roundTrip))
    }

    /// HDHT-76. A reply that can't be decoded is skipped, and the query goes on.
    func operationReplied(_ id: OperationID, _ reply: ReceivedResponse) {
        guard let operation = operations[id] else { return }
        if case .raw = operation.kind { return report(operation, reply, .raw(reply)) }
        guard let value = reply.value else { return }
        switch operation.kind {
        case .ping, .raw: break
        case .lookup, .announce:
            guard let lookup = try? LookupReply(decoding: value) else { return undecodable(operation) }
            report(operation, reply, .peers(lookup.peers, bump: lookup.bump))
            takeBack(operation, reply, lookup)
        case .findPeer:
            guard let record = try? PeerRecord(decoding: value) else { return undecodable(operation) }
            report(operation, reply, .peer(record))
        case .immutableGet:
            /// HDHT-31. What is not what was asked for is ignored.
            guard Blake2b.hash256(value) == operation.target || Mutation.hyperDHT(31).isActive else { return undecodable(operation) }
            report(operation, reply, .immutable(value))
            if let query = operation.query { cancel(query) }
            finish(id, .immutable(value))
        case .immutablePut: break
        case .mutableGet(let publicKey, let options): mutableReplied(operation, publicKey, options, reply, value)
        case .mutablePut: break
        }
    }

    private func undecodable(_ operation: Operation) {
        statistics.drop(.undecodableReply)
        if Mutation.hyperDHT(76).isActive {
            if let query = operation.query { cancel(query) }
            finish(operation.id, .failed(.requestDestroyed))
        }
    }

    private func report(_ operation: Operation, _ reply: ReceivedResponse, _ content: QueryReply.Content) {
        events.append(
            .reply(
                operation.id,
                QueryReply(
                    from: reply.from, nodeID: reply.id, to: reply.to, token: reply.token, content: content, hops: reply.hops)))
    }

    private func mutableReplied(
        _ operation: Operation, _ publicKey: Bytes32, _ options: MutableGetOptions, _ reply: ReceivedResponse, _ value: [UInt8]
    ) {
        guard let record = try? MutableRecord(decoding: value) else { return undecodable(operation) }
        if let best = operation.record, record.seq <= best.seq { return }
        /// HDHT-32. Neither a lower sequence number than asked for nor a bad signature counts.
        guard record.seq >= options.seq || Mutation.hyperDHT(32, 1).isActive else { return undecodable(operation) }
        guard
            RecordSignature.verifyMutable(seq: record.seq, value: record.value, signature: record.signature, publicKey: publicKey)
                || Mutation.hyperDHT(32).isActive
        else { return undecodable(operation) }
        report(operation, reply, .mutable(record))
        operation.record = record
        guard options.latest else {
            if let query = operation.query { cancel(query) }
            return finish(operation.id, .mutable(record))
        }
    }

    // MARK: Commit and end

    func commitOperation(_ id: OperationID, _ query: QueryID, _ replies: [ReceivedResponse]) {
        guard let operation = operations[id] else { return rpc.commit(query, []) }
        switch operation.kind {
        case .announce(_, let record, _):
            guard record != nil else { return rpc.commit(query, []) }
            operation.commitTo = replies
            announceIfCleared(operation)
        case .immutablePut(let value): commit(query, operation, replies, .immutablePut, value)
        case .mutablePut(let put): commit(query, operation, replies, .mutablePut, put.encoded)
        case .mutableGet(let publicKey, _):
            guard let record = operation.record else { return rpc.commit(query, []) }
            let put = MutablePutRequest(publicKey: publicKey, seq: record.seq, value: record.value, signature: record.signature)
            commit(query, operation, replies, .mutablePut, put.encoded)
        default: rpc.commit(query, [])
        }
    }

    private func commit(
        _ query: QueryID, _ operation: Operation, _ replies: [ReceivedResponse], _ command: HyperDHTCommand, _ value: [UInt8]
    ) {
        let commits = replies.compactMap { reply in
            reply.token.map { commitRequest(operation, reply.from, $0, command, value) }
        }
        rpc.commit(query, commits, failure: commits.count < replies.count ? .noToken : nil)
    }

    private func commitRequest(
        _ operation: Operation, _ node: Endpoint, _ token: Bytes32, _ command: HyperDHTCommand, _ value: [UInt8]
    ) -> CommitRequest {
        var options = RequestOptions()
        options.token = token
        options.target = operation.target
        options.value = value
        return CommitRequest(to: node, command: command.rawValue, options: options)
    }

    func operationQueryFinished(_ id: OperationID, _ outcome: QueryOutcome) {
        guard let operation = operations[id] else { return }
        operation.query = nil
        operation.outcome = outcome
        finishIfDone(operation)
    }

    func finishIfDone(_ operation: Operation) {
        guard let outcome = operation.outcome, operation.unannouncing == 0 else { return }
        let nodes = outcome.closestReplies.map(\.from)
        switch operation.kind {
        case .immutableGet: finish(operation.id, .immutable(nil))
        case .mutableGet: finish(operation.id, .mutable(operation.record))
        case .immutablePut, .mutablePut:
            if let failure = outcome.failure { return finish(operation.id, .failed(HyperDHTError(failure))) }
            finish(operation.id, .stored(target: operation.target, closestNodes: nodes))
        default:
            if let failure = outcome.failure { return finish(operation.id, .failed(HyperDHTError(failure))) }
            finish(operation.id, .done(closestNodes: nodes))
        }
    }

    func finish(_ id: OperationID, _ result: OperationResult) {
        guard operations.removeValue(forKey: id) != nil else { return }
        events.append(.finished(id, result))
    }
}
