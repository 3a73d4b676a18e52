//! What a simulated GraphQL API is made of: types, fields and arguments, as tables of the vendor's names.

/// A field of an object or interface.
#[derive(Debug)]
pub(crate) struct FieldDef {
    pub(crate) name: &'static str,
    pub(crate) ty: &'static str,
    pub(crate) args: &'static [ArgDef],
}

/// An argument, or a field of an input object.
#[derive(Debug)]
pub(crate) struct ArgDef {
    pub(crate) name: &'static str,
    pub(crate) ty: &'static str,
}

/// What a type is.
#[derive(Debug)]
pub(crate) enum Kind {
    Object(&'static [FieldDef]),
    /// Its fields, and the object types that have them.
    Interface(&'static [FieldDef], &'static [&'static str]),
    Input(&'static [ArgDef]),
    Enum(&'static [&'static str]),
    Scalar,
}

/// A named type.
#[derive(Debug)]
pub(crate) struct TypeDef {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

impl TypeDef {
    /// The fields of an object or interface.
    pub(crate) fn fields(&self) -> Option<&'static [FieldDef]> {
        match &self.kind {
            Kind::Object(fields) | Kind::Interface(fields, _) => Some(fields),
            Kind::Input(_) | Kind::Enum(_) | Kind::Scalar => None,
        }
    }
}

/// The name inside list and non-null marks.
pub(crate) fn base(ty: &str) -> &str {
    ty.trim_matches(['[', ']', '!'])
}

/// The types that a simulator answers.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Tables of types.
    pub(crate) tables: &'static [&'static [TypeDef]],
}

impl Schema {
    /// The type with this name.
    pub(crate) fn named(&self, name: &str) -> Option<&'static TypeDef> {
        self.tables.iter().flat_map(|table| table.iter()).find(|ty| ty.name == name)
    }

    /// Names of types that are used and not there, each with its user: of use to tests of a table.
    #[cfg(test)]
    pub(crate) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for ty in self.tables.iter().flat_map(|table| table.iter()) {
            let mut used: Vec<&str> = Vec::new();
            match &ty.kind {
                Kind::Object(fields) | Kind::Interface(fields, _) => {
                    for field in *fields {
                        used.push(field.ty);
                        used.extend(field.args.iter().map(|arg| arg.ty));
                    }
                }
                Kind::Input(args) => used.extend(args.iter().map(|arg| arg.ty)),
                Kind::Enum(_) | Kind::Scalar => {}
            }
            let gone = used.into_iter().filter(|name| self.named(base(name)).is_none());
            missing.extend(gone.map(|name| format!("{name} of {}", ty.name)));
        }
        missing
    }
}

/// A field without arguments.
pub(crate) const fn f(name: &'static str, ty: &'static str) -> FieldDef {
    FieldDef { name, ty, args: &[] }
}

/// A field with arguments.
pub(crate) const fn fa(name: &'static str, ty: &'static str, args: &'static [ArgDef]) -> FieldDef {
    FieldDef { name, ty, args }
}

/// An argument, or a field of an input object.
pub(crate) const fn a(name: &'static str, ty: &'static str) -> ArgDef {
    ArgDef { name, ty }
}

/// An object type.
pub(crate) const fn object(name: &'static str, fields: &'static [FieldDef]) -> TypeDef {
    TypeDef { name, kind: Kind::Object(fields) }
}

/// An input object.
pub(crate) const fn input(name: &'static str, fields: &'static [ArgDef]) -> TypeDef {
    TypeDef { name, kind: Kind::Input(fields) }
}

/// An enumeration.
pub(crate) const fn values(name: &'static str, values: &'static [&'static str]) -> TypeDef {
    TypeDef { name, kind: Kind::Enum(values) }
}

/// A scalar.
pub(crate) const fn scalar(name: &'static str) -> TypeDef {
    TypeDef { name, kind: Kind::Scalar }
}
