import CMsgBox
import MsgBox
import Testing

@Suite struct TCPSocketTests {
  /// A connected pair.
  private struct Pair: ~Copyable {
    let client: FileDescriptor
    let server: FileDescriptor

    init(host: Locator.Host, reaching ip: IPAddress) throws {
      let listener = try TCPSocket.listen(host: host, port: 0)
      let connecting = try TCPSocket.connect(to: Address(ip: ip, port: listener.local.port))
      try waitFor(.readable, listener.descriptor.rawValue)
      var remote = Address.unspecified
      let accepted = try TCPSocket.accept(listener.descriptor.rawValue, remote: &remote)
      try waitFor(.writable, connecting.rawValue)
      let clientAddress = try localAddress(of: connecting.rawValue)
      #expect(TCPSocket.takeError(of: connecting.rawValue) == nil)
      #expect(remote == clientAddress)
      let local = try localAddress(of: accepted.rawValue)
      #expect(local == Address(ip: ip, port: listener.local.port))
      client = connecting
      server = accepted
    }

    init() throws {
      try self.init(host: loopback, reaching: IPAddress(v4: 0x7f00_0001))
    }
  }

  private func read(_ buffer: StreamBuffer, _ descriptor: Int32) throws -> [UInt8] {
    try waitFor(.readable, descriptor)
    var copy: [UInt8] = []
    buffer.withBytes(try buffer.read(from: descriptor)) { span in
      for index in span.indices { copy.append(span[index]) }
    }
    return copy
  }

  @Test(
    "Bytes, then the end, arrive over both families and at the wildcard",
    arguments: [
      (loopback, IPAddress(v4: 0x7f00_0001)),
      (loopbackIPv6, IPAddress(high: 0, low: 1)),
      (.any, IPAddress(v4: 0x7f00_0002)),
    ])
  func bytesAndEnd(host: Locator.Host, ip: IPAddress) throws {
    let pair = try Pair(host: host, reaching: ip)
    let buffer = StreamBuffer(capacity: 64)
    let bytes: [UInt8] = [1, 2, 3]
    #expect(throws: Errno.wouldBlock) { try buffer.read(from: pair.server.rawValue) }
    #expect(try TCPSocket.send(bytes.span, on: pair.client.rawValue) == 3)
    try TCPSocket.shutdownWrite(pair.client.rawValue)
    #expect(try read(buffer, pair.server.rawValue) == bytes)
    #expect(try read(buffer, pair.server.rawValue) == [])
  }

  @Test("A reset is told as such, and writing after it raises no signal")
  func reset() throws {
    let listener = try TCPSocket.listen(host: loopback, port: 0)
    let client = try TCPSocket.connect(to: listener.local)
    try waitFor(.readable, listener.descriptor.rawValue)
    do {
      var remote = Address.unspecified
      let server = try TCPSocket.accept(listener.descriptor.rawValue, remote: &remote)
      try TCPSocket.resetOnClose(server.rawValue)
    }
    try waitFor(.readable, client.rawValue)
    let buffer = StreamBuffer(capacity: 64)
    #expect(throws: Errno.connectionReset) { try buffer.read(from: client.rawValue) }
    let bytes: [UInt8] = [1]
    #expect(throws: Errno.brokenPipe) {
      try TCPSocket.send(bytes.span, on: client.rawValue)
    }
  }

  @Test("A full buffer takes a part and then tells")
  func fullBuffer() throws {
    let pair = try Pair()
    let bytes = [UInt8](repeating: 1, count: 1 << 20)
    var taken = 0
    var end: Errno?
    while end == nil && taken < 1 << 30 {
      do throws(Errno) {
        taken += try TCPSocket.send(bytes.span, on: pair.client.rawValue)
      } catch {
        end = error
      }
    }
    #expect(end == .wouldBlock)
    #expect(taken > 0)
  }

  @Test("Signals, full buffers, short writes and short reads")
  func faults() throws {
    let pair = try Pair()
    let client = pair.client.rawValue
    let server = pair.server.rawValue
    let buffer = StreamBuffer(capacity: 64)
    let bytes: [UInt8] = [1, 2, 3, 4, 5]
    try withFaults { () throws in
      cutShort(CMSGBOX_CALL_SEND, to: 2)
      #expect(try TCPSocket.send(bytes.span, on: client) == 2)
      fail(CMSGBOX_CALL_SEND, with: .interrupted, times: 2)
      #expect(try TCPSocket.send(bytes.span.extracting(2..<5), on: client) == 3)
      fail(CMSGBOX_CALL_SEND, with: .wouldBlock)
      #expect(throws: Errno.wouldBlock) {
        try TCPSocket.send(bytes.span, on: client)
      }
      cutShort(CMSGBOX_CALL_RECEIVE, to: 1)
      #expect(try read(buffer, server) == [1])
      fail(CMSGBOX_CALL_RECEIVE, with: .interrupted, times: 2)
      #expect(try read(buffer, server) == [2, 3, 4, 5])
    }
  }

  @Test("Nobody listening is a refusal")
  func refused() throws {
    var address = Address.unspecified
    do {
      address = try TCPSocket.listen(host: loopback, port: 0).local
    }
    do throws(Errno) {
      let client = try TCPSocket.connect(to: address)
      #expect(throws: Never.self) { try waitFor(.writable, client.rawValue) }
      #expect(TCPSocket.takeError(of: client.rawValue) == .connectionRefused)
    } catch {
      #expect(error == .connectionRefused)
    }
  }

  @Test("An interrupted connect goes on")
  func interruptedConnect() throws {
    try withFaults {
      let listener = try TCPSocket.listen(host: loopback, port: 0)
      fail(CMSGBOX_CALL_CONNECT, with: .interrupted)
      let client = try TCPSocket.connect(to: listener.local)
      try waitFor(.readable, listener.descriptor.rawValue)
      #expect(TCPSocket.takeError(of: client.rawValue) == nil)
    }
  }

  @Test("A port in use and a lack of descriptors are told")
  func errors() throws {
    let listener = try TCPSocket.listen(host: loopback, port: 0)
    let descriptor = listener.descriptor.rawValue
    let port = listener.local.port
    #expect(throws: Errno.addressInUse) {
      _ = try TCPSocket.listen(host: loopback, port: port)
    }
    try withFaults {
      let client = try TCPSocket.connect(to: listener.local)
      try waitFor(.readable, descriptor)
      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFiles)
      var remote = Address.unspecified
      #expect(throws: Errno.tooManyOpenFiles) {
        _ = try TCPSocket.accept(descriptor, remote: &remote)
      }
      let accepted = try TCPSocket.accept(descriptor, remote: &remote)
      #expect(remote == (try localAddress(of: client.rawValue)))
      _ = accepted
    }
  }
}
