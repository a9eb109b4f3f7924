/// Runs what must come to its end although the calling task is cancelled, such as taking leave of the network.
func uncancelled(_ body: @escaping @Sendable () async -> Void) async { await Task { await body() }.value }
