import SansIO

/// Connection pools: one connection per remote key. hyperdht.md section 18. HDHT-65.
extension HyperDHTNode {
    /// A pool of connections: one for each key, shared by all that ask.
    public func makePool() -> ConnectionPoolID {
        let id = ConnectionPoolID(number: takeNumber())
        pools[id] = [:]
        return id
    }

    /// Open connections, and those being made, of a pool.
    public func connections(in pool: ConnectionPoolID) -> [ConnectionID] { (pools[pool] ?? [:]).values.sorted() }

    /// False if the connection lost against one that is there; it is then being destroyed.
    func admitToPool(_ connection: Connection) -> Bool {
        guard let pool = connection.pool else { return true }
        guard let id = pools[pool]?[connection.remotePublicKey], id != connection.id, let existing = connections[id] else {
            pools[pool, default: [:]][connection.remotePublicKey] = connection.id
            return true
        }
        /// The same role: the newer one. Opposite roles: both sides keep the one that the larger key decides on.
        let ownIsLarger = connection.publicKey > connection.remotePublicKey
        let keepsNew = existing.isInitiator == connection.isInitiator || ownIsLarger != Mutation.hyperDHT(65).isActive
        guard keepsNew else {
            closeConnection(connection, .duplicateConnection)
            return false
        }
        pools[pool, default: [:]][connection.remotePublicKey] = connection.id
        closeConnection(existing, .duplicateConnection)
        return true
    }

    func leavePool(_ connection: Connection) {
        guard let pool = connection.pool, pools[pool]?[connection.remotePublicKey] == connection.id else { return }
        pools[pool]?[connection.remotePublicKey] = nil
    }
}
