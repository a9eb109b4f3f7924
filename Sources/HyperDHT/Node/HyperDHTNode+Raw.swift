import CompactEncoding
import DHTRPC
import SansIO

/// Requests and queries of the owner's own making: what a tester needs and an application does not.
extension HyperDHTNode {
    /// One request with any command, token, target and value. Ends with `.response` or `.failed`.
    @discardableResult
    public func request(to destination: Endpoint, command: UInt64, options: RequestOptions) -> OperationID {
        let operation = newOperation(.raw, .zero)
        guard begins(operation) else { return operation.id }
        let id = rpc.request(to: destination, command: command, options: options)
        requests[id] = .ping(operation.id)
        operation.request = id
        settle()
        return operation.id
    }

    /// DELAYED_PING. Ends with `.response` or `.failed`; nil if the delay is longer than a node waits.
    @discardableResult
    public func delayedPing(_ destination: Endpoint, delayMilliseconds: UInt32) -> OperationID? {
        guard delayMilliseconds <= config.rpc.maximumDelayMilliseconds else { return nil }
        let operation = newOperation(.raw, .zero)
        guard begins(operation) else { return operation.id }
        guard let id = rpc.delayedPing(destination, delayMilliseconds: delayMilliseconds) else { return nil }
        requests[id] = .ping(operation.id)
        operation.request = id
        settle()
        return operation.id
    }

    /// A query with any command. Each reply comes as `.raw`; ends with `.done`.
    @discardableResult
    public func query(target: Bytes32, command: UInt64, options: QueryOptions) -> OperationID {
        let operation = newOperation(.raw, target)
        guard begins(operation) else { return operation.id }
        var options = options
        options.commit = .none
        let id = rpc.query(target: target, command: command, options: options)
        operation.query = id
        queries[id] = .operation(operation.id)
        settle()
        return operation.id
    }

    /// FIND_NODE for an id. Each reply comes as `.raw`; ends with `.done`.
    @discardableResult
    public func findNode(_ target: Bytes32) -> OperationID {
        let operation = newOperation(.raw, target)
        guard begins(operation) else { return operation.id }
        let id = rpc.findNode(target)
        operation.query = id
        queries[id] = .operation(operation.id)
        settle()
        return operation.id
    }

    /// A PING with this many zero bytes. Ends with `.response` or `.failed`.
    @discardableResult
    public func ping(_ destination: Endpoint, padding: Int) -> OperationID {
        let operation = newOperation(.raw, .zero)
        guard begins(operation) else { return operation.id }
        let id = rpc.ping(destination, padding: padding)
        requests[id] = .ping(operation.id)
        operation.request = id
        settle()
        return operation.id
    }
}
