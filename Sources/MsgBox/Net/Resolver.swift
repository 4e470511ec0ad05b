import CMsgBox

/// The answer to a question about a name.
package struct ResolvedName: Equatable, Sendable {
  /// The number that the question was given.
  package var id: UInt64
  /// 1...16 addresses with the port of the question, in the order of the system, none twice; none
  /// after an error.
  package var addresses: [Address]
  /// The system's error, 0 if there is none or it has no number.
  package var systemError: Int32
}

/// Asks the system for the addresses of names, on threads of its own; at most four at once, the
/// others wait.
@safe package final class Resolver {
  private let resolver: OpaquePointer

  /// Makes a resolver that raises `wakeup` when there is an answer; nil without a descriptor or
  /// memory.
  package convenience init?(wakeup: Wakeup) {
    guard let resolver = unsafe cmsgbox_resolver_create(wakeup.descriptor) else { return nil }
    unsafe self.init(resolver)
  }

  private init(_ resolver: OpaquePointer) {
    unsafe self.resolver = resolver
  }

  deinit {
    // Threads that still ask keep what they need, and free it when they are done.
    unsafe cmsgbox_resolver_release(resolver)
  }

  /// Asks for `name`, 1...253 bytes; the answer bears `id`.
  package func ask(_ name: [UInt8], port: UInt16, id: UInt64) throws(Errno) {
    let result = unsafe name.withUnsafeBufferPointer {
      unsafe cmsgbox_resolver_ask(resolver, id, $0.baseAddress, $0.count, port)
    }
    _ = try checked(result)
  }

  /// Takes a question back; returns false if it is being asked or was answered: its answer comes.
  package func forget(id: UInt64) -> Bool {
    unsafe cmsgbox_resolver_forget(resolver, id) == 1
  }

  /// Takes the next answer that has come, or nil.
  package func take() -> ResolvedName? {
    var answer = cmsgbox_resolved()
    guard unsafe cmsgbox_resolver_take(resolver, &answer) == 1 else { return nil }
    let count = min(Int(answer.count), Int(CMSGBOX_RESOLVED_MAX))
    var addresses: [Address] = []
    unsafe withUnsafeBytes(of: answer.addresses) { bytes in
      for index in 0..<(answer.error == 0 ? count : 0) {
        let offset = index * MemoryLayout<cmsgbox_address>.stride
        let address = unsafe bytes.load(fromByteOffset: offset, as: cmsgbox_address.self)
        addresses.append(Address(address))
      }
    }
    return ResolvedName(
      id: answer.id, addresses: addresses, systemError: max(answer.error, 0))
  }
}
