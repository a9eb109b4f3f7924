import CompactEncoding
import DHTRPC
import HyperCrypto
import SansIO

/// Announcing and taking back under topics, with signatures made here or elsewhere. hyperdht.md section 3.9.
extension HyperDHTNode {
    /// A replier that has our key, or as many records as it may show, gets an UNANNOUNCE at once.
    func takeBack(_ operation: Operation, _ reply: ReceivedResponse, _ lookup: LookupReply) {
        guard operation.takesBack, case .announce(let signer, _, _) = operation.kind, let token = reply.token, let nodeID = reply.id else {
            return
        }
        let isListed = lookup.peers.count >= RecordStore.lookupLimit || lookup.peers.contains { $0.publicKey == signer.publicKey }
        guard isListed else { return }
        operation.unannouncing += 1
        let message = AnnounceMessage(peer: PeerRecord(publicKey: signer.publicKey))
        sign(
            message, signer, .unannounce, target: operation.target, token: token, nodeID: nodeID,
            for: .unannounce(operation.id, node: reply.from, token: token, message: message))
    }

    func unannounceEnded(_ id: OperationID) {
        guard let operation = operations[id] else { return }
        operation.unannouncing -= 1
        announceIfCleared(operation)
        finishIfDone(operation)
    }

    /// The closest repliers are known, and nothing is being taken back any more: sign for each.
    func announceIfCleared(_ operation: Operation) {
        guard let replies = operation.commitTo, operation.unannouncing == 0,
            case .announce(let signer, let record?, let options) = operation.kind
        else { return }
        operation.commitTo = nil
        var asked: [ReceivedResponse] = []
        for reply in replies where reply.token != nil && reply.id != nil { asked.append(reply) }
        operation.signing = asked.count
        guard !asked.isEmpty else { return commitAnnounces(operation) }
        for reply in asked {
            guard let token = reply.token, let nodeID = reply.id else { continue }
            let message = AnnounceMessage(peer: record, bump: options.bump)
            sign(
                message, signer, .announce, target: operation.target, token: token, nodeID: nodeID,
                for: .announce(operation.id, node: reply.from, token: token, message: message))
        }
    }

    private func commitAnnounces(_ operation: Operation) {
        guard let query = operation.query else { return }
        let commits = operation.commits.map { commit in
            var options = RequestOptions()
            options.token = commit.token
            options.target = operation.target
            options.value = commit.message.encoded
            return CommitRequest(to: commit.node, command: HyperDHTCommand.announce.rawValue, options: options)
        }
        rpc.commit(query, commits, failure: commits.isEmpty ? .noToken : nil)
    }

    // MARK: Signatures

    /// Signs with the signer's key pair at once, or asks for the signature.
    func sign(
        _ message: AnnounceMessage, _ signer: Signer, _ purpose: RecordSignature.Purpose, target: Bytes32, token: Bytes32,
        nodeID: Bytes32, for use: SignaturePurpose
    ) {
        guard let peer = message.peer else { return }
        let signable = RecordSignature.announceSignable(
            purpose, target: target, token: token, nodeID: nodeID, peer: peer, refresh: message.refresh)
        switch signer {
        case .keyPair(let pair): signed(use, pair.sign(signable))
        case .external(let publicKey):
            let id = QuestionID(number: takeNumber())
            signatureQuestions[id] = use
            events.append(.signature(SignatureQuestion(id: id, publicKey: publicKey, purpose: purpose, signable: signable)))
        }
    }

    /// Gives a signature that was asked for; nil refuses it. A token lives 7.5 s: sign soon.
    public func sign(_ question: QuestionID, _ signature: [UInt8]?) {
        guard let use = signatureQuestions.removeValue(forKey: question) else { return }
        signed(use, signature.flatMap { $0.count == 64 ? $0 : nil })
        settle()
    }

    private func signed(_ use: SignaturePurpose, _ signature: [UInt8]?) {
        switch use {
        case .announce(let id, let node, let token, var message):
            guard let operation = operations[id] else { return }
            if let signature {
                message.signature = signature
                operation.commits.append((node, token, message))
            }
            operation.signing -= 1
            if operation.signing == 0 { commitAnnounces(operation) }
        case .unannounce(let id, let node, let token, var message):
            guard let operation = operations[id] else { return }
            guard let signature else { return unannounceEnded(id) }
            message.signature = signature
            request(.unannounce, to: node, target: operation.target, value: message.encoded, token: token, for: .unannounce(id))
        case .announcer(let id, let node, let token, var message, let isUnannounce):
            guard let server = servers[id] else { return }
            guard let signature else {
                return announcerFailed(id, isUnannounce ? .unannounce(node, step: server.announcer.step) : .announce(node))
            }
            message.signature = signature
            request(
                isUnannounce ? .unannounce : .announce, to: node, target: server.target, value: message.encoded, token: token,
                for: .announcer(id, isUnannounce ? .unannounce(node, step: server.announcer.step) : .announce(node)))
        }
    }
}
