import CMsgBox
import MsgBox
import Testing

@Suite struct UDPSocketTests {
  @Test("Datagrams go there and back over both families", arguments: [loopback, loopbackIPv6])
  func roundTrip(host: Locator.Host) throws {
    let server = try UDPSocket.bind(host: host, port: 0, bufferBytes: 65536)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    batch.put([1, 2, 3], at: 0, to: .unspecified)
    batch.put([], at: 1, to: .unspecified)
    #expect(
      try batch.send(
        0..<2, on: client.descriptor.rawValue, isIPv6: client.isIPv6, isConnected: true) == 2)
    try waitFor(.readable, server.descriptor.rawValue)
    #expect(try batch.receive(from: server.descriptor.rawValue) == 2)
    #expect(batch.receivedBytes(0) == [1, 2, 3])
    #expect(batch.receivedBytes(1) == [])
    #expect(batch.received(0).remote == client.local)

    batch.put([8], at: 0, to: batch.received(0).remote)
    batch.put([9], at: 1, to: batch.received(0).remote)
    #expect(
      try batch.send(
        1..<2, on: server.descriptor.rawValue, isIPv6: server.isIPv6, isConnected: false) == 1)
    try waitFor(.readable, client.descriptor.rawValue)
    #expect(try batch.receive(from: client.descriptor.rawValue) == 1)
    #expect(batch.receivedBytes(0) == [9])
    #expect(batch.received(0).remote == server.local)

    batch.put([7], at: 0, to: client.local)
    #expect(
      try batch.send(
        0..<1, on: server.descriptor.rawValue, isIPv6: server.isIPv6, isConnected: false) == 1)
    try waitFor(.readable, client.descriptor.rawValue)
    #expect(try batch.receive(from: client.descriptor.rawValue, isConnected: true) == 1)
    #expect(batch.receivedBytes(0) == [7])
  }

  @Test("Who asks for one datagram gets one, with all that is known of it")
  func one() throws {
    let server = try UDPSocket.bind(host: .any, port: 0, bufferBytes: 65536)
    let asked = Address(ip: IPAddress(v4: 0x7f00_0002), port: server.local.port)
    let client = try UDPSocket.connect(to: asked, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    for bytes in [[UInt8](repeating: 1, count: 20), [2, 3]] {
      batch.put(bytes, at: 0, to: .unspecified)
      _ = try batch.send(
        0..<1, on: client.descriptor.rawValue, isIPv6: client.isIPv6, isConnected: true)
    }
    try waitFor(.readable, server.descriptor.rawValue)
    #expect(try batch.receive(from: server.descriptor.rawValue, most: 1, slotBytes: 16) == 1)
    #expect(batch.isFull && batch.received(0).isOne && batch.received(0).isTruncated)
    #expect(batch.receivedBytes(0) == [UInt8](repeating: 1, count: 16))
    #expect(batch.received(0).remote.port == client.local.port)
    #expect(batch.received(0).local.ip == asked.ip)
    #expect(try batch.receive(from: server.descriptor.rawValue, most: 1) == 1)
    #expect(batch.isFull && !batch.received(0).isTruncated)
    #expect(batch.receivedBytes(0) == [2, 3])
    #expect(throws: Errno.wouldBlock) {
      try batch.receive(from: server.descriptor.rawValue, most: 1)
    }
  }

  @Test(
    "A wildcard answers from the address that was asked", arguments: [0x7f00_0001, 0x7f00_0002])
  func answersFromTheAddressAsked(v4: UInt32) throws {
    let server = try UDPSocket.bind(host: .any, port: 0, bufferBytes: 65536)
    #expect(server.isWildcard == true)
    let asked = Address(ip: IPAddress(v4: v4), port: server.local.port)
    try answer(server, asked: asked)
  }

  @Test("A wildcard of one family answers from the address that was asked")
  func answersFromTheAddressAskedOneFamily() throws {
    let zero = Locator.Host.ip(IPAddress(v4: 0))
    let server = try UDPSocket.bind(host: zero, port: 0, bufferBytes: 65536)
    #expect(server.isWildcard && !server.isIPv6)
    try answer(server, asked: Address(ip: IPAddress(v4: 0x7f00_0002), port: server.local.port))
  }

  @Test("The wildcard serves IPv6 as well")
  func wildcardServesIPv6() throws {
    let server = try UDPSocket.bind(host: .any, port: 0, bufferBytes: 65536)
    guard server.isIPv6 else { return }
    try answer(server, asked: Address(ip: IPAddress(high: 0, low: 1), port: server.local.port))
  }

  /// A connected client hears an answer only if it comes from the very address that it asked.
  private func answer(_ server: borrowing OpenSocket, asked: Address) throws {
    let client = try UDPSocket.connect(to: asked, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    batch.put([7], at: 0, to: .unspecified)
    _ = try batch.send(
      0..<1, on: client.descriptor.rawValue, isIPv6: client.isIPv6, isConnected: true)
    try waitFor(.readable, server.descriptor.rawValue)
    #expect(try batch.receive(from: server.descriptor.rawValue) == 1)
    let received = batch.received(0)
    #expect(received.local.ip == asked.ip)
    #expect(received.remote == client.local)
    batch.put([8], at: 0, to: received.remote, from: received.local)
    _ = try batch.send(
      0..<1, on: server.descriptor.rawValue, isIPv6: server.isIPv6, isConnected: false)
    try waitFor(.readable, client.descriptor.rawValue)
    #expect(try batch.receive(from: client.descriptor.rawValue) == 1)
    #expect(batch.receivedBytes(0) == [8])
  }

  @Test("Without IPv6 the wildcard is IPv4")
  func wildcardWithoutIPv6() throws {
    try withFaults {
      fail(CMSGBOX_CALL_SOCKET, with: .familyNotSupported)
      let server = try UDPSocket.bind(host: .any, port: 0, bufferBytes: 65536)
      #expect(server.isIPv6 == false)
      #expect(server.local.ip == IPAddress(v4: 0))
    }
  }

  @Test("A datagram that bounced is heard of, and the socket goes on")
  func bounce() throws {
    var port: UInt16 = 0
    do {
      let gone = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
      port = gone.local.port
    }
    let address = Address(ip: IPAddress(v4: 0x7f00_0001), port: port)
    let client = try UDPSocket.connect(to: address, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    batch.put([1], at: 0, to: .unspecified)
    let descriptor = client.descriptor.rawValue
    _ = try batch.send(0..<1, on: descriptor, isIPv6: false, isConnected: true)
    try waitFor(.readable, descriptor)
    #expect(throws: Errno.connectionRefused) { try batch.receive(from: descriptor) }
    #expect(Errno.connectionRefused.isBounce)
    #expect(throws: Errno.wouldBlock) { try batch.receive(from: descriptor) }
    #expect(try batch.send(0..<1, on: descriptor, isIPv6: false, isConnected: true) == 1)
  }

  @Test("A full batch goes and comes in one call each")
  func fullBatch() throws {
    let server = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 1_000_000)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 1_000_000)
    let batch = try #require(DatagramBatch())
    // Sizes that grow cannot leave together.
    for index in 0..<DatagramBatch.capacity {
      batch.put([UInt8](repeating: UInt8(index), count: 1001 + index), at: index, to: .unspecified)
    }
    let all = 0..<DatagramBatch.capacity
    #expect(
      try batch.send(all, on: client.descriptor.rawValue, isIPv6: false, isConnected: true) == 64)
    try waitFor(.readable, server.descriptor.rawValue)
    for half in [0, 32] {
      #expect(try batch.receive(from: server.descriptor.rawValue) == 32)
      #expect(batch.isFull)
      for index in 0..<DatagramBatch.receiveCapacity {
        let number = half + index
        #expect(
          batch.receivedBytes(index) == [UInt8](repeating: UInt8(number), count: 1001 + number))
        #expect(!batch.received(index).isTruncated)
      }
    }
    for range in [60..<65, 3..<3] {
      #expect(throws: Errno.invalidArgument) {
        try batch.send(range, on: client.descriptor.rawValue, isIPv6: false, isConnected: true)
      }
    }
  }

  @Test("A datagram longer than its slot is seen to be")
  func truncated() throws {
    let server = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 65536)
    let long = [UInt8](repeating: 5, count: 5000)
    #expect(try TCPSocket.send(long.span, on: client.descriptor.rawValue) == 5000)
    let batch = try #require(DatagramBatch())
    try waitFor(.readable, server.descriptor.rawValue)
    #expect(try batch.receive(from: server.descriptor.rawValue, slotBytes: 2048) == 1)
    #expect(batch.received(0).isTruncated)
    #expect(batch.received(0).count == 2048)
  }

  @Test("Signals, full buffers and batches cut short lose and double nothing")
  func faults() throws {
    let server = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 65536)
    let descriptor = client.descriptor.rawValue
    let batch = try #require(DatagramBatch())
    for index in 0..<4 { batch.put([UInt8(index)], at: index, to: .unspecified) }
    try withFaults {
      fail(CMSGBOX_CALL_SEND_BATCH, with: .interrupted, times: 3)
      #expect(try batch.send(0..<1, on: descriptor, isIPv6: false, isConnected: true) == 1)
      cutShort(CMSGBOX_CALL_SEND_BATCH, to: 2)
      #expect(try batch.send(1..<4, on: descriptor, isIPv6: false, isConnected: true) == 2)
      fail(CMSGBOX_CALL_SEND_BATCH, with: .wouldBlock)
      #expect(throws: Errno.wouldBlock) {
        try batch.send(3..<4, on: descriptor, isIPv6: false, isConnected: true)
      }
      #expect(try batch.send(3..<4, on: descriptor, isIPv6: false, isConnected: true) == 1)
      fail(CMSGBOX_CALL_RECEIVE_BATCH, with: .interrupted, times: 2)
      try waitFor(.readable, server.descriptor.rawValue)
      let count = try batch.receive(from: server.descriptor.rawValue)
      #expect((0..<count).flatMap { batch.receivedDatagrams($0) } == [[0], [1], [2], [3]])
      #expect(cmsgbox_fault_clear() == 7)
    }
  }

  @Test("A port in use, a foreign address and a lack of descriptors are told")
  func bindErrors() throws {
    let first = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let port = first.local.port
    #expect(throws: Errno.addressInUse) {
      _ = try UDPSocket.bind(host: loopback, port: port, bufferBytes: 65536)
    }
    #expect(throws: Errno.addressNotAvailable) {
      let documentation = Locator.Host.ip(IPAddress(v4: 0xc000_0201))
      _ = try UDPSocket.bind(host: documentation, port: 0, bufferBytes: 65536)
    }
    // A link-local address that nobody has: without its interface it would be an invalid argument.
    let linkLocal = Locator.Host.ip(IPAddress(high: 0xfe80 << 48, low: 0x1234))
    #expect(throws: Errno.addressNotAvailable) {
      _ = try UDPSocket.bind(host: linkLocal, port: 0, scope: 1, bufferBytes: 65536)
    }
    #expect(throws: Errno.invalidArgument) {
      _ = try UDPSocket.bind(host: .name([97]), port: 0, bufferBytes: 65536)
    }
    try withFaults {
      fail(CMSGBOX_CALL_SOCKET, with: .tooManyOpenFiles)
      #expect(throws: Errno.tooManyOpenFiles) {
        _ = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
      }
    }
  }
}
