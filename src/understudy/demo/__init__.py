"""One static page that runs a bundle's WebAssembly model as you type or draw."""
